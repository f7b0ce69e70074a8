#!/usr/bin/env bash
# Run a part of the tests as on Arm, whose processors the usual Ascend host has, by qemu's user emulation on Debian:
# kernels, images, planes and order, over a dataset that this machine has written. Needs neither root nor a container.
# Debian's packages for arm64 and the pinned wheels for aarch64 are fetched once, into build/aarch64 (1 GB).
# Some 10 minutes the first time on one core, of which most goes into compiling the project's loops, once.
set -euo pipefail
cd "$(dirname "$0")/.."
tests=(tests/feed/test_{kernels,planes,order,augment,jpeg,jpeg_window}.py tests/convert/test_{images,pixels,jpeg_payload}.py)

for program in qemu-aarch64-static apt-get dpkg; do
	command -v "$program" >/dev/null || {
		echo "error: no test was run: $program is missing: on Debian, apt-get install qemu-user-static" >&2
		exit 1
	}
done
home=$PWD/build/aarch64
arm=$home/debian site=$home/site python=$home/debian/usr/bin/python3.11
mkdir -p "$home"

if [ ! -e "$home/debian.done" ]; then
	apt="$home/apt"
	mkdir -p "$apt"/{state/lists,cache/archives}/partial
	: >"$apt/state/status"
	options=(-o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o "Dir::State=$apt/state"
		-o "Dir::State::status=$apt/state/status" -o "Dir::Cache=$apt/cache" -o Debug::NoLocking=1)
	apt-get "${options[@]}" -qq update
	apt-get "${options[@]}" -qq -y --no-install-recommends --download-only install python3.11 libstdc++6 libgomp1
	for package in "$apt"/cache/archives/*.deb; do dpkg -x "$package" "$arm"; done
	touch "$home/debian.done"
fi
if [ ! -e "$home/site.done" ] || [ constraints.txt -nt "$home/site.done" ]; then
	platforms=(--platform any --platform manylinux2014_aarch64)
	for glibc in 17 24 26 27 28 31 34; do platforms+=(--platform "manylinux_2_${glibc}_aarch64"); done
	rm -rf "$site"
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --target "$site" --python-version 3.11 \
		--implementation cp --only-binary :all: "${platforms[@]}" --constraint constraints.txt \
		av numba numpy opencv-python-headless pyarrow pillow psutil pyyaml scipy simplejpeg tqdm tyro pytest hypothesis
	touch "$home/site.done"
fi

# what the tests share, written here and read there
.venv/bin/python -m pytest --basetemp "$home/shared" tests/feed/test_planes.py tests/feed/test_jpeg.py
echo "on aarch64; left out: the other files, and in these what imports MindSpore (25 s there) or starts a process, listed as skipped"
QEMU_LD_PREFIX=$arm PYTHONPATH=$site NUMBA_CACHE_DIR=$home/numba qemu-aarch64-static "$python" -m pytest -p no:cacheprovider \
	--fast --shared "$home/shared" -m 'not slow' -rs "${tests[@]}" "$@"
