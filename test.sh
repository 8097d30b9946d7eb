#!/bin/bash
# Every test of this project, and everything that the tests need.
#
#   ./test.sh
#
# Needs Debian (as root, or with the packages that setup.sh of engine/tests/clients names already
# there) and a Rust toolchain. Runs every step whatever became of the one before, then says which
# have failed; the exit code is that of the whole.
set -uo pipefail
cd "$(dirname "$0")" || exit 1
target=${CARGO_TARGET_DIR:-$PWD/target}
failed=() notes=()

# step NAME COMMAND...: one step, with its time.
step() {
  local name=$1 began=$SECONDS
  shift
  printf '\n=== %s\n' "$name"
  if "$@"; then
    printf '=== %s: passed (%d s)\n' "$name" $((SECONDS - began))
  else
    printf '=== %s: FAILED (%d s)\n' "$name" $((SECONDS - began))
    failed+=("$name")
  fi
}

# note TEXT: something that could not be tested here, said at the end as well.
note() {
  printf '=== %s\n' "$1"
  notes+=("$1")
}

tools() {
  if ! command -v cc > /dev/null; then
    apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy build-essential || return
  fi
  if ! cargo fmt --version > /dev/null 2>&1 || ! cargo clippy --version > /dev/null 2>&1; then
    rustup component add rustfmt clippy || return
  fi
  bash engine/tests/clients/setup.sh "$target/tmp/clients"
}

# Whether this kernel, or the container's profile, lets a process use io_uring.
allows_uring() {
  "$target/debug/downpour" doctor > "$target/doctor.txt"
  grep -qE '^ok +io_uring:' "$target/doctor.txt"
}

workspace() {
  cargo build -p downpour || return
  if allows_uring; then
    cargo test --workspace --no-fail-fast
  else
    note "io_uring is refused here: its tests were NOT run (see $target/doctor.txt)"
    cargo test --workspace --no-fail-fast -- --skip uring
  fi
}

# The interleavings of ring and doorbell, every one. In a build of its own: the cfg is for all crates.
loom() {
  RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=$target/loom \
    CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_DEBUG=0 \
    cargo test -p downpour --lib --release ring::loom_tests
}

# A short run of every fuzz target, so that each is known to build and to hold on its seeds.
fuzz() {
  local name
  for name in "$1"/fuzz/fuzz_targets/*.rs; do
    name=$(basename "$name" .rs)
    printf -- '--- %s\n' "$name"
    local corpus=$target/fuzz-corpus/$name
    mkdir -p "$corpus"
    local seeds=()
    [ -d "$1/fuzz/seeds/$name" ] && seeds=("fuzz/seeds/$name")
    local log=$target/fuzz-$name.txt
    if ! (cd "$1" && cargo +nightly fuzz run "$name" "$corpus" ${seeds[@]+"${seeds[@]}"} -- \
      -max_total_time=20 -timeout=10) > "$log" 2>&1; then
      cat "$log"
      return 1
    fi
    tail -n 1 "$log"
  done
}

# What may be in the program: licences, sources, versions; and, where the advisory database can be
# had, what is known against it.
dependencies() {
  cargo deny check --hide-inclusion-graph bans licenses sources || return
  if ! cargo deny fetch db > "$target/deny.txt" 2>&1; then
    note "the advisory database cannot be fetched here: advisories were NOT checked"
    return
  fi
  cargo deny --offline check --hide-inclusion-graph advisories || return
  # The same database by its own reader.
  if cargo audit --version > /dev/null 2>&1 || cargo install --locked cargo-audit; then
    cargo audit --no-fetch --db "$(ls -d "${CARGO_HOME:-$HOME/.cargo}"/advisory-dbs/*/ | head -n 1)"
  else
    note "cargo-audit cannot be installed: advisories were checked by cargo-deny alone"
  fi
}

step "tools" tools
step "format" cargo fmt --all --check
if cargo deny --version > /dev/null 2>&1 || cargo install --locked cargo-deny; then
  step "dependencies" dependencies
else
  note "cargo-deny cannot be installed: dependencies were NOT checked"
fi
step "clippy" cargo clippy --workspace --all-targets -- -D warnings
step "tests" workspace
step "interleavings" loom
if compgen -G '*/benches/*.rs' > /dev/null; then
  step "benches run" cargo test --workspace --bench '*'
fi
if ! cargo +nightly --version > /dev/null 2>&1; then
  note "no nightly toolchain: the fuzz targets were NOT run (rustup toolchain install nightly)"
elif ! cargo fuzz --version > /dev/null 2>&1 && ! cargo install --locked cargo-fuzz; then
  note "cargo-fuzz cannot be installed: the fuzz targets were NOT run"
else
  for crate in engine loadgen; do
    [ -d "$crate/fuzz" ] && step "fuzz targets of $crate" fuzz "$crate"
  done
fi

printf '\n'
for text in ${notes[@]+"${notes[@]}"}; do
  printf 'note: %s\n' "$text"
done
if [ ${#failed[@]} -gt 0 ]; then
  printf 'FAILED: %s (%d s)\n' "$(IFS=,; echo "${failed[*]}")" "$SECONDS"
  exit 1
fi
printf 'all tests passed (%d s)\n' "$SECONDS"
