"""Options -> the shards of a dataset; killed at any moment, the next run goes on.

options.py        what a conversion can be told
plan.py           which image goes into which shard: pure
shard.py          the work of one shard, done by one process
staging.py        unfinished work in a folder: whose it is, how far it is, what is done
worker_pool.py    the processes that make shards
dask_cluster.py   the same on several machines
conversion.py     plan, processes and signals put together; the manifest published at the end
"""
