"""The experiments of the stages that train networks of their own, from the blocks of their names in `params.yaml`."""

from itertools import product

from lineage.blocks import Crossed, Deepened, Equalised, Float64, Initialisations, Sweep
from lineage.engine.experiment import Experiment
from lineage.errors import Mistake
from lineage.experiments import complete
from lineage.params import Params

# at scale sample
SAMPLE_DEPTH = 20  # the most layers, but for the stages `sweep`, `deepened` and `defects`
SAMPLE_SWEEP = {"depths": 2, "lrs": 1}  # so many of each, the first ones
OF_TABLE_1 = (18, 34, 50)  # of He et al. 2015, with other blocks or stages than those of 6n + 2 layers
DEFECTS_MODELS = ("resnet", "vgg")


def sweep(params: Params) -> dict[str, list[Experiment]]:
    """The experiments of the sweep, from each start: what `sweep` reads. Where `train` sets the learning rate there is
    but one. Raises `Mistake`.
    """
    block, most = params.sweep, SAMPLE_SWEEP if params.scale == "sample" else {}
    depths, lrs = block.depths[: most.get("depths")], block.lrs[: most.get("lrs")]
    found: dict[str, list[Experiment]] = {}
    for start, changes in block.starts.items():
        if fixed := sorted(changes.keys() & {"dataset", "model", "depth", "shortcut", "lr"}):
            place = f"params.yaml: sweep.starts.{start}"
            raise Mistake(
                f"{place}: {', '.join(fixed)} cannot be set here: plain networks on SIGNS, `depths` and `lrs`"
            )
        named = {}
        for lr, depth in product([params.train.get("lr", lr) for lr in lrs], depths):
            name = f"plain-{depth}-{start}-{lr:g}"
            line = plain(block, depth) | {"lr": lr} | changes
            named[name] = complete(params, name, line, f"params.yaml: sweep.starts.{start}")
        found[start] = list(named.values())
    return found


def initialisations(params: Params) -> dict[str, Experiment]:
    """The network with each initialisation of the block `initialisations`: what the stage of that name reads. Raises
    `Mistake`.
    """
    block, place = params.initialisations, "params.yaml: initialisations"
    names, depth = block.names, block.depth
    if params.scale == "sample":
        names, depth = names[-1:], min(SAMPLE_DEPTH, depth)
    return {name: complete(params, f"plain-{depth}-{name}", plain(block, depth), place) for name in names}


def equalised(params: Params) -> dict[str, object]:
    """The relative norms and the networks, each with its initialisation, of the block `equalised`: what the stage of
    that name reads. Raises `Mistake`.
    """
    block, place = params.equalised, "params.yaml: equalised"
    small = params.scale == "sample"
    networks = {}
    for family, shortcut in (("plain", "none"), ("residual", "identity")):
        for depth, starts in getattr(block, family).items():
            for start in starts:
                layers = min(SAMPLE_DEPTH, depth) if small else depth
                known = {"initialisation": start} if start in ("he", "dirac") else {}
                line = plain(block, layers) | {"shortcut": shortcut} | known
                name = f"{family}-{layers}-{start}"
                networks[name] = complete(params, name, line, place).changes() | {"start": start}
    return {"ratios": block.ratios[:1] if small else block.ratios, "networks": networks}


def crossed(params: Params) -> dict[str, dict[str, object]]:
    """The network of the block `crossed` from each initialisation with the gradient norms of each: what the stage of
    that name reads. Raises `Mistake`.
    """
    block, place = params.crossed, "params.yaml: crossed"
    depth = min(SAMPLE_DEPTH, block.depth) if params.scale == "sample" else block.depth
    line = plain(block, depth) | {"lr": block.lr}
    networks = {}
    for start, lengths in product(block.starts, repeat=2):
        name = f"plain-{depth}-{start}-lengths-of-{lengths}"
        networks[name] = complete(params, name, line, place).changes() | {"start": start, "lengths": lengths}
    return networks


def float64(params: Params) -> dict[str, dict[str, object]]:
    """The networks of the block `float64`, each with the relative norm of its gradients where it has one: what the
    stage of that name reads. Raises `Mistake`.
    """
    block, place = params.float64, "params.yaml: float64"
    free = {key: value for key, value in params.train.items() if key != "precision"}  # which is what is tried here
    params = params.model_copy(update={"train": free})
    cases = [(depth, None) for depth in block.depths] + list(block.equalised.items())
    if params.scale == "sample":
        cases = [(min(SAMPLE_DEPTH, depth), ratio) for depth, ratio in cases[-1:]]
    networks = {}
    for depth, ratio in cases:
        name = f"plain-{depth}" if ratio is None else f"plain-{depth}-equalised"
        experiment = complete(params, name, plain(block, depth) | {"precision": "fp32"}, place)
        networks[name] = experiment.changes() | ({} if ratio is None else {"ratio": ratio})
    return networks


def deepened(params: Params) -> dict[str, Experiment]:
    """The shallow and the deep network of the block `deepened`: what the stage of that name reads. Raises `Mistake`."""
    block, place = params.deepened, "params.yaml: deepened"
    depths = {"shallow": block.shallow, "deep": block.deep}
    if kinds := [depth for depth in depths.values() if depth in OF_TABLE_1]:
        raise Mistake(f"{place}: {kinds[0]} layers have other blocks or stages; use numbers such as 20, 32, 44 and 56")
    return {
        which: complete(params, f"plain-{depth}-{which}", plain(block, depth), place) for which, depth in depths.items()
    }


def defects(params: Params) -> dict[str, Experiment]:
    """The networks of the block `defects`: what the stage of that name reads. Raises `Mistake`."""
    block, found = params.defects, {}
    line = {"dataset": "signs", "recipe": block.recipe, "seeds": block.seeds}
    for name, network in block.networks.items():
        place = f"params.yaml: defects.networks.{name}"
        if "dataset" in network or network.get("model") not in DEFECTS_MODELS:  # dvc.yaml has these as dependencies
            raise Mistake(f"{place}: the stage is on SIGNS, and `model` is one of {', '.join(DEFECTS_MODELS)}")
        found[name] = complete(params, f"{name}-defects", line | network, place)
    return found


def plain(block: Sweep | Initialisations | Equalised | Crossed | Float64 | Deepened, depth: int) -> dict[str, object]:
    """The line of a plain network on SIGNS, as experiments.yaml would have it."""
    network = {"model": "resnet", "depth": depth, "shortcut": "none"}
    return {"dataset": "signs", "recipe": block.recipe, "seeds": block.seeds} | network
