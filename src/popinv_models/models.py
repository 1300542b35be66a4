"""The models, as the entry point of this package gives them to popinv."""

from popinv.forward.house import ModelHouse

HOUSE = ModelHouse(
    package="popinv_models",
    kinds=("elastodynamics", "lorenz96", "porous_flow"),
    depends=("firedrake", "petsc4py"),
    compiler_flags=("PYOP2_CFLAGS",),
    doctor="popinv_models.finite_elements.doctor",
)
