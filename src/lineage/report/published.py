"""What others report for the same networks and data: test top-1 in per cent, with how it was chosen, because most
public figures are the best epoch on the test part, and ours are not.
"""

from typing import NamedTuple


class Published(NamedTuple):
    article: str  # what the article that the experiment answers says, if anything
    public: str  # the best public figure
    source: str
    selection: str


BEST = "best epoch on the test part"
LAST = "last epoch"
HE = "He et al. 2015, Table 6"
PUBLISHED = {
    "alexnet-cats-vs-dogs": Published("–", "93.65", "80/20 split of the 25,000, about 30 epochs", "not said"),
    "vgg16-cifar100": Published(
        "75 (S2, after 20 epochs)", "73.74", "chenyaofo/pytorch-cifar-models, 200 epochs", LAST
    ),
    "vgg16-cifar100-32px": Published(
        "75 (S2, after 20 epochs)", "72.93", "weiaicunzai/pytorch-cifar100, 200 epochs", BEST
    ),
    "vgg19-cifar100": Published("–", "73.77", "chenyaofo/pytorch-cifar-models, 200 epochs", LAST),
    "resnet-18-cifar100": Published("–", "75.61", "weiaicunzai/pytorch-cifar100, 200 epochs", BEST),
    "resnet-34-cifar100": Published("–", "76.76", "weiaicunzai/pytorch-cifar100, 200 epochs", BEST),
    "resnet50-signs": Published("–", "95.8", "public notebooks, 50 epochs, with the twins of test images", "not said"),
    "plain-20-cifar10": Published("–", "90.22 ± 0.13", "nabla0001/resnet", LAST),
    "plain-56-cifar10": Published("–", "87.05 ± 0.22", "nabla0001/resnet", LAST),
    "resnet-20-cifar10": Published("–", "91.25", HE, "one run"),
    "resnet-32-cifar10": Published("–", "92.49", HE, "one run"),
    "resnet-44-cifar10": Published("–", "92.83", HE, "one run"),
    "resnet-56-cifar10": Published("–", "93.03", HE, "one run"),
    "resnet-110-cifar10": Published("–", "93.39 ± 0.16", HE, "mean of 5 (93.57 the best)"),
}

# label, family, depth, part, error in per cent: on CIFAR-10, for the figure of error by depth
ERRORS = [
    *(
        ("He et al. 2015", "resnet", d, "test", e)
        for d, e in ((20, 8.75), (32, 7.51), (44, 7.17), (56, 6.97), (110, 6.61))
    ),
    *(
        ("He et al. 2015", "plain", d, "test", e) for d, e in ((20, 9.5), (32, 10), (44, 12), (56, 13.5))
    ),  # read off Fig. 6
    *(("re-runs", "resnet", d, "test", e) for d, e in ((20, 8.51), (56, 7.40), (110, 7.14))),  # nabla0001/resnet
    *(("re-runs", "plain", d, "test", e) for d, e in ((20, 9.69), (32, 10.04), (44, 11.56), (56, 13.07))),  # a-martyn
    *(("re-runs", "plain", d, "train", e) for d, e in ((20, 0.74), (32, 0.79), (44, 2.76), (56, 3.33))),
]

# each section of each article, and where it is answered
ANSWERS = [
    ("S0", "AlexNet's eight layers", "`src/lineage/models/alexnet.py`", "alexnet-cats-vs-dogs"),
    ("S0", "VGG16 for small images", "`src/lineage/models/vgg.py`", "vgg16-cifar100, vgg16-cifar100-32px"),
    (
        "S0",
        "VGG with residual blocks",
        "`src/lineage/models/residual_vgg.py`",
        "residual-vgg-cifar10, plain-vgg-cifar10",
    ),
    (
        "S0",
        "the convolution on the shortcut",
        "`src/lineage/models/residual_vgg.py`",
        "residual-vgg-projection-cifar10, residual-vgg-always-convolved-cifar10",
    ),
    (
        "S0",
        "degradation: why depth stops to help",
        "[plain beside residual](#plain-beside-residual)",
        "plain-20-signs32 … resnet-110-cifar10",
    ),
    (
        "S0",
        "learning F(x) = 0 is easy",
        "[what the blocks add](#what-the-blocks-add)",
        "resnet-20-signs32, resnet-56-signs32, resnet-110-signs32",
    ),
    (
        "S0",
        "skip connections against vanishing and exploding gradients",
        "[gradients](#gradients)",
        "before and after training",
    ),
    ("S1", "the SIGNS data set", "`params.yaml`, `data/sample/README.md`", "–"),
    ("S1", "ResNet-34, and ResNet-50 the same way", "`src/lineage/models/resnet.py`", "resnet34-signs, resnet50-signs"),
    ("S1", "its training", "`docs/recipes.md`", "resnet34-signs-article"),
    (
        "S1",
        "gradients of early layers shrink to almost nothing",
        "[gradients](#gradients)",
        "before and after training",
    ),
    (
        "S2",
        "VGG16 on CIFAR-100, 75 %",
        "[beside the published](#beside-the-published)",
        "vgg16-cifar100, vgg16-cifar100-article",
    ),
    (
        "S2",
        "future work: more and fewer layers, VGG-19",
        "[claims](#claims)",
        "vgg11-cifar100, vgg13-cifar100, vgg19-cifar100",
    ),
    ("S2", "the series' LeNet-5", "`src/lineage/models/lenet.py`", "lenet5-cifar10"),
    (
        "S3",
        "AlexNet on cats and dogs",
        "`src/lineage/models/alexnet.py`",
        "alexnet-cats-vs-dogs, alexnet-cats-vs-dogs-article",
    ),
    (
        "S3",
        "ReLU, tanh and sigmoid",
        "[claims](#claims)",
        "alexnet4-relu-cifar10, alexnet4-tanh-cifar10, alexnet4-sigmoid-cifar10",
    ),
    (
        "S3",
        "LRN is useless, batch norm replaced it",
        "[claims](#claims)",
        "alexnet4-norm-none-cifar10, alexnet4-norm-lrn-cifar10, alexnet4-norm-batch-cifar10",
    ),
    ("S3", "dropout reduces over-fitting", "[claims](#claims)", "vgg16-cifar100-32px, vgg16-cifar100-no-dropout"),
    ("S3", "the confusion matrix as a heat map", "[experiments.md](experiments.md)", "all"),
    ("S3", "`setup_seed`, strictly equal results", "`src/lineage/engine/training.py`", "all"),
]
