"""MindSpore Hub's entry point: `create_network` makes what the checkpoints fit."""

import mindspore as ms
import pytest
from model_making import CLASSES

from tinydarknet.mindspore_hub_conf import create_network


def test_hub_makes_imagenets_network_unless_told_otherwise():
    assert create_network("tinydarknet").conv16.conv.weight.shape == (1000, 128, 1, 1)
    assert create_network("tinydarknet", 10, variant="modelzoo").conv16.bn.gamma.shape == (10,)
    with pytest.raises(ValueError, match="the only network here is 'tinydarknet', got 'resnet'"):
        create_network("resnet")


def test_a_checkpoint_loads_into_it(fitted):
    network = create_network("tinydarknet", num_classes=len(CLASSES))
    missing, _ = ms.load_param_into_net(network, ms.load_checkpoint(str(fitted)))
    assert missing == []
