#!/usr/bin/env bash
# Fetch what checks our use of TensorRT on a machine without a GPU, into .venv/tensorrt (a minute once):
#   rtx      TensorRT-RTX: NVIDIA's own parser and builder, which build for a GPU that isn't there
#   stubs    the published type stubs of TensorRT 10
#   10, 11   Python bindings of TensorRT 10.3 (JetPack 6.1) and 11, with empty libraries behind them, so that they
#            load and show every name and signature; nothing of them can be run
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

target=.venv/tensorrt
identity=$(cksum < "${BASH_SOURCE[0]}")
[ "$(cat "$target/complete" 2> /dev/null)" = "$identity" ] && exit 0
say() { printf 'tensorrt: %s\n' "$*" >&2; }
pip() { .venv/bin/python -m pip --disable-pip-version-check "$@" --quiet 2> "$target/log"; }
leave_out() { say "left out, its tests are skipped: $1"; tail -n 1 "$target/log" >&2 || true; exit 0; }

[ "$(uname -sm)" = "Linux x86_64" ] || { say "left out: these packages are for Linux on x86-64"; exit 0; }
command -v gcc > /dev/null || { say "left out: needs gcc for the empty libraries"; exit 0; }
rm -rf "$target"
mkdir -p "$target"
say "fetching NVIDIA's parser and builder, bindings and type stubs"
pip install --no-deps --target "$target/rtx" tensorrt-rtx-cu12-bindings==1.7.1.116 tensorrt-rtx-cu12-libs==1.7.1.116 \
    || leave_out "TensorRT-RTX can't be installed"
pip install --no-deps --target "$target/stubs" tensorrt-stubs==10.13.0.35.1 || leave_out "no type stubs"

symbols="createInferBuilder_INTERNAL createInferRefitter_INTERNAL createInferRuntime_INTERNAL
createNvOnnxParserRefitter_INTERNAL createNvOnnxParser_INTERNAL getBuilderPluginRegistry getNvOnnxParserVersion
getPluginRegistry initLibNvInferPlugins"
for name in $symbols; do echo "void *$name(void) { return 0; }"; done > "$target/empty.c"
for version in 10.3.0 11.4.0.106; do
    major=${version%%.*}
    pip install --no-deps --target "$target/$major/wheel" "tensorrt-cu12-bindings==$version" \
        || leave_out "no bindings of TensorRT $version for this Python"
    mkdir -p "$target/$major/libs" "$target/$major/module"
    mv "$target/$major/wheel/tensorrt_bindings/tensorrt.so" "$target/$major/module/"
    for library in libnvinfer libnvonnxparser libnvinfer_plugin; do
        gcc -shared -fPIC -o "$target/$major/libs/$library.so.$major" -Wl,-soname,"$library.so.$major" "$target/empty.c"
    done
done
echo "$identity" > "$target/complete"
say "done"
