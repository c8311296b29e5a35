#!/usr/bin/env bash
# Run the coverage-guided fuzzers: tools/fuzz.sh RUNS [TARGET...]. RUNS: executions of each target; 0: until interrupted.
#
# libFuzzer's coverage comes from LLVM options that the stable compiler takes. New inputs are kept under target/fuzz; what breaks a
# target is put into its corpus, where every later run meets it again: mend the fault, keep the input. To keep new inputs:
#   target/fuzz/HOST/fuzz/TARGET -merge=1 native/fuzz/corpus/TARGET target/fuzz/found/TARGET
set -euo pipefail
cd "$(dirname "$0")/.."
runs=${1:?how many executions of each target}
shift
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(pdus login commands frames)
host=$(rustc -vV | sed -n 's/^host: //p')

export CARGO_TARGET_DIR=target/fuzz
flags="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
flags+=" -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
flags+=" -Cllvm-args=-sanitizer-coverage-trace-compares -Cllvm-args=-simplifycfg-branch-fold-threshold=0"
RUSTFLAGS=$flags cargo build --quiet --profile fuzz -p twindisk-fuzz --features engine --bins --target "$host"

limit=()
[ "$runs" -eq 0 ] || limit=(-runs="$runs")
for target in "${targets[@]}"; do
    corpus=native/fuzz/corpus/$target
    found=target/fuzz/found/$target
    mkdir -p "$corpus" "$found"
    echo "fuzzing $target"
    "target/fuzz/$host/fuzz/$target" "${limit[@]}" -max_len=4096 -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
        -verbosity=0 -print_funcs=0 -artifact_prefix="$corpus/" "$found" "$corpus"
done
