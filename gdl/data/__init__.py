"""Data sets: integer images in memory, from which a batch is taken by one index operation."""

from gdl.data.base import ImageData, Split, hold_out
from gdl.data.cifar import CIFAR10
from gdl.data.digits import Digits
from gdl.data.folder import Folder
from gdl.data.mnist import MNIST, BinarizedMNIST
from gdl.data.olivetti import Olivetti
from gdl.data.toy import Toy

__all__ = [
    "CIFAR10",
    "MNIST",
    "BinarizedMNIST",
    "Digits",
    "Folder",
    "ImageData",
    "Olivetti",
    "Split",
    "Toy",
    "hold_out",
]
