#!/bin/sh
# Installs the build into a folder, and builds docs/example_train.c against what is there, by pkg-config and by the CMake
# package:
#     run_install.sh SOURCE_DIR BUILD_DIR FOLDER C_COMPILER
set -eu
source=$1 build=$2 folder=$3 compiler=$4
rm -rf "$folder"
mkdir -p "$folder/app"
DESTDIR= cmake --install "$build" --prefix "$folder/prefix" >/dev/null
libdir=$(dirname "$(find "$folder/prefix" -name liblorac.so)")
for file in include/lorac.h include/lorac_status.h bin/lorac-onnx share/man/man1/lorac-onnx.1 \
    share/man/man1/lorac-onnx-train.1 share/bash-completion/completions/lorac-onnx; do
    [ -f "$folder/prefix/$file" ] || { echo "not installed: $file"; exit 1; }
done

# Only what lorac.h promises may be seen from outside.
strangers=$(nm -D --defined-only "$libdir/liblorac.so" | awk '{ print $3 }' | grep -v -E '^lorac_|^_init$|^_fini$' || true)
[ -z "$strangers" ] || { echo "exported by mistake: $strangers"; exit 1; }

flags=$(PKG_CONFIG_PATH="$libdir/pkgconfig" pkg-config --cflags --libs lorac)
"$compiler" -std=c11 -Wall -Wextra -Wpedantic -Werror "$source/docs/example_train.c" -o "$folder/app/by-pkg-config" \
    -Wl,-rpath,"$libdir" $flags
"$folder/app/by-pkg-config" >/dev/null 2>&1 && { echo "the example ran without arguments"; exit 1; }

cat >"$folder/app/CMakeLists.txt" <<'CMAKE'
cmake_minimum_required(VERSION 3.18)
project(app C)
find_package(lorac 0.1 REQUIRED)
add_executable(by-cmake ${EXAMPLE})
target_link_libraries(by-cmake PRIVATE lorac::lorac)
CMAKE
cmake -S "$folder/app" -B "$folder/app/build" -DCMAKE_PREFIX_PATH="$folder/prefix" -DCMAKE_C_COMPILER="$compiler" \
    -DEXAMPLE="$source/docs/example_train.c" >/dev/null
cmake --build "$folder/app/build" >/dev/null
echo "installed, and the example builds against it both ways"
