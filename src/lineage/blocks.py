"""The blocks of the parameter files, as types that check them: what `params.yaml`, `experiments.yaml` and
`data/datasets.yaml` may say. lineage/params.py reads the files.
"""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, create_model, model_validator

from lineage.engine.recipe import Count, Number, Recipe
from lineage.options import Checked


class File(Checked):
    """One file of an archive; `urls` in the order in which they are tried."""

    name: str
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    urls: tuple[Annotated[str, Field(pattern="^https?://[^/]+/.+")], ...] = ()


class Archive(Checked):
    format: Literal["cifar-python", "contact-sheets", "folders", "h5"]
    files: Annotated[tuple[File, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _as_many_as_it_has(self) -> "Archive":
        wanted = 2 if self.format == "h5" else 1
        if len(self.files) != wanted:
            raise ValueError(f"files: {self.format} has {wanted}, not {len(self.files)}")
        return self


class Sample(Checked):
    """The archive in `data/sample`: a small part of the data set, or all of it where `archives` is empty."""

    format: Literal["contact-sheets", "folders"]
    name: str
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]

    def archive(self) -> Archive:
        return Archive(format=self.format, files=(File(name=self.name, sha256=self.sha256),))


def _names(value: object) -> object:
    return value.split() if isinstance(value, str) else value


def _name(value: object) -> object:
    """YAML makes numbers of digits, which are good names, and true and false of yes and no."""
    if isinstance(value, bool | float | None):
        raise ValueError(f"YAML reads this name as {'null' if value is None else str(value).lower()}: put it in quotes")
    if not isinstance(value, str | int):
        raise ValueError("a name of a class is a text")
    return str(value)


class Dataset(Checked):
    # a list, or the names in one text, which DVC's rewriting of the file leaves as it stands
    classes: Annotated[tuple[Annotated[str, BeforeValidator(_name)], ...], BeforeValidator(_names), Field(min_length=2)]
    image_size: Count
    sample: Sample
    archives: tuple[Archive, ...] = ()  # in order of preference
    unreadable: Literal["error", "skip"] = "error"  # what to do with a file that is no image
    superclasses: dict[str, Annotated[tuple[str, ...], BeforeValidator(_names)]] = Field({})  # their classes
    pictures: bool = True  # whether the report may show some of its images
    subset: bool = False  # whether the archives hold other classes, which are left out
    validation: Annotated[Number, Field(gt=0, lt=1)] | None = None  # share of each class to validate on; else a tenth

    @model_validator(mode="after")
    def _classes_differ(self) -> "Dataset":
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("classes: a class stands there twice")
        members = sorted(name for names in self.superclasses.values() for name in names)
        if self.superclasses and members != sorted(self.classes):
            odd = set(members) ^ set(self.classes) or {name for name in members if members.count(name) > 1}
            raise ValueError(f"superclasses: each class belongs to one of them, unlike {', '.join(sorted(odd))}")
        return self

    def labels(self) -> dict[str, object]:
        """What `evaluate` and `compare` show: the classes, the superclass of each (or none), and whether pictures may
        be.
        """
        of = {name: superclass for superclass, names in self.superclasses.items() for name in names}
        superclasses = [of[name] for name in self.classes] if of else []
        return {"classes": self.classes, "superclasses": superclasses, "pictures": self.pictures}


# A part of a recipe: what `train`, a named recipe or an experiment says. Null, or nothing, leaves a key to the others.
Part = create_model(
    "Part",
    __base__=Checked,
    **{
        key: (Annotated[field.annotation, *field.metadata] | None, None)
        if field.metadata
        else (field.annotation | None, None)
        for key, field in Recipe.model_fields.items()
    },
)
Name = Annotated[str, Field(pattern="^[a-z0-9][a-z0-9.-]*$")]
FURTHER = r"random-\d+(\.\d+)?|looks-linear"  # lineage/initialisations.py
Initialisation = Annotated[str, Field(pattern=f"^({FURTHER})$")]
Start = Annotated[str, Field(pattern=f"^(he|dirac|{FURTHER})$")]


class Sweep(Checked):
    """Plain networks of every depth with every learning rate from every start, by one recipe: see src/sweep.py."""

    recipe: str
    depths: Annotated[tuple[Count, ...], Field(min_length=1)]
    lrs: Annotated[tuple[Number, ...], Field(min_length=1)]
    starts: Annotated[dict[Name, dict[str, object]], Field(min_length=1)]  # what each changes in an experiment's line
    seeds: Count  # of the runs at the boundary; the others have one


class Initialisations(Checked):
    """A plain network with several initialisations, by one recipe: see src/initialisations.py."""

    recipe: str
    depth: Count
    names: Annotated[tuple[Initialisation, ...], Field(min_length=1)]
    seeds: Count


class Equalised(Checked):
    """Networks whose gradients have the same relative norm everywhere: see src/equalised.py."""

    recipe: str
    ratios: Annotated[tuple[Annotated[Number, Field(gt=0)], ...], Field(min_length=1)]
    plain: dict[Count, tuple[Start, ...]]  # depth: initialisations
    residual: dict[Count, tuple[Start, ...]]
    seeds: Count

    @model_validator(mode="after")
    def _any(self) -> "Equalised":
        if not any([*self.plain.values(), *self.residual.values()]):
            raise ValueError("plain and residual name no initialisation: name at least one")
        return self


class Float64(Checked):
    """Plain networks that are trained in float64: see src/float64.py."""

    recipe: str
    depths: tuple[Count, ...]
    equalised: dict[Count, Annotated[Number, Field(gt=0)]]  # depth: the relative norm of all gradients
    seeds: Count

    @model_validator(mode="after")
    def _any(self) -> "Float64":
        if not (self.depths or self.equalised):
            raise ValueError("depths and equalised are both empty: name at least one network")
        return self


class Crossed(Checked):
    """A plain network from each initialisation with the gradient norms of each: see src/crossed.py."""

    recipe: str
    depth: Count
    lr: Annotated[Number, Field(gt=0)]
    starts: Annotated[tuple[Start, ...], Field(min_length=2)]
    seeds: Count


class Deepened(Checked):
    """A plain network that is trained, gets layers that do nothing, and is trained further: see src/deepened.py."""

    recipe: str
    shallow: Count
    deep: Count
    seeds: Count

    @model_validator(mode="after")
    def _deeper(self) -> "Deepened":
        if self.deep <= self.shallow:
            raise ValueError(f"deep: {self.deep} layers are no more than the shallow network has, {self.shallow}")
        return self


class Defects(Checked):
    """The networks that the articles' defects are tried on, on SIGNS: see src/defects.py."""

    recipe: str
    seeds: Count
    networks: Annotated[dict[Literal["residual", "dropout"], dict[str, object]], Field(min_length=2)]
