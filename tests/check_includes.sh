#!/bin/sh
# check_includes.sh ROOT: fails on an include against the arrows between the folders, and on a third-party header
# outside of its folder.
#
#     tools ──▶ runtime ──▶ proto ◀── passes ◀── tools        tests ──▶ everything
#
# check_includes.sh --self-test: makes trees with one wrong include each and sees that it is found.

# Which of the project's folders a file in folder $1 may include.
allowed_folders()
{
    case $1 in
    proto) echo "proto" ;;
    passes) echo "passes proto" ;;
    runtime) echo "runtime proto" ;;
    tools) echo "tools runtime passes proto" ;;
    esac
}

# Where a header that is not the project's may be included: folders (the deepest that is named counts), or "all", or
# nothing for an unknown one.
allowed_places()
{
    case $1 in
    onnx.pb-c.h | protobuf-c/*) echo "proto" ;;
    xxhash.h) echo "proto" ;;
    jansson.h) echo "proto tools" ;;
    xnnpack.h | pthreadpool.h | sched.h | *intrin.h | arm_neon.h) echo "runtime/kernels" ;;
    zlib.h | jpeglib.h | jerror.h | png.h) echo "runtime/data" ;;
    yaml.h | getopt.h) echo "tools" ;;
    assert.h | ctype.h | errno.h | float.h | inttypes.h | limits.h | locale.h | math.h | setjmp.h) echo "all" ;;
    signal.h | stdalign.h | stdarg.h | stdatomic.h | stdbool.h | stddef.h | stdint.h | stdio.h) echo "all" ;;
    stdlib.h | string.h | time.h) echo "all" ;;
    dirent.h | fcntl.h | poll.h | pthread.h | regex.h | strings.h | sys/*.h | termios.h | unistd.h) echo "all" ;;
    esac
}

# The project's file that "$2" in a file of folder path $1 names, relative to the root; empty where there is none. The
# order is the compiler's: beside the including file, the root, then the include folders of the libraries.
resolve()
{
    for base in "$1" . proto runtime; do
        if [ -f "$base/$2" ]; then
            folder=$(cd "$(dirname "$base/$2")" && pwd -P) || return
            path=$folder/${2##*/}
            echo "${path#"$here/"}"
            return
        fi
    done
}

is_in()
{
    for one in $2; do
        case $1/ in "$one"/*) return 0 ;; esac
    done
    return 1
}

check_one() # file line header
{
    place=${1%/*}
    found=$(resolve "$place" "$3")
    if [ -n "$found" ]; then
        is_in "${found%%/*}" "$(allowed_folders "${1%%/*}")" ||
            echo "$1:$2: ${1%%/*}/ may not include '$3' of ${found%%/*}/"
        return
    fi
    places=$(allowed_places "$3")
    if [ -z "$places" ]; then
        echo "$1:$2: '$3' is not known; say in tests/check_includes.sh where it may be included"
    elif [ "$places" != all ] && ! is_in "$place" "$places"; then
        echo "$1:$2: '$3' may be included in $places only"
    fi
}

check_tree() # root; prints what is wrong, and how many includes were looked at on the last line
{
    cd "$1" || exit 1
    here=$(pwd -P)
    count=0
    folders=
    for folder in proto passes runtime tools; do
        [ -d "$folder" ] && folders="$folders $folder"
    done
    # shellcheck disable=SC2086 # a list of folders
    grep -rnE '^[[:space:]]*#[[:space:]]*include' --include='*.[ch]' $folders |
        {
            while IFS=: read -r file line text; do
                header=$(printf '%s\n' "$text" | sed -n 's/^[^<"]*[<"]\([^>"]*\)[>"].*$/\1/p')
                if [ -n "$header" ]; then
                    check_one "$file" "$line" "$header"
                else
                    echo "$file:$line: an include that is not a plain file name"
                fi
                count=$((count + 1))
            done
            echo "$count includes"
        }
}

run() # root
{
    output=$(check_tree "$1")
    printf '%s\n' "$output"
    [ "$(printf '%s\n' "$output" | wc -l)" -eq 1 ] && [ "$output" != "0 includes" ]
}

# ---- self-test

make_tree()
{
    rm -rf "$tree"
    mkdir -p "$tree/proto" "$tree/passes" "$tree/runtime/kernels" "$tree/runtime/data" "$tree/tools"
    for header in proto/model.h passes/pass.h runtime/lower.h runtime/kernels/kernel.h tools/command.h; do
        echo '#include <stdio.h>' >"$tree/$header"
    done
    echo '#include <zlib.h>' >"$tree/runtime/data/idx.c"
    printf '#include "kernel.h"\n#include "proto/model.h"\n#  include <xnnpack.h>\n' >"$tree/runtime/kernels/conv.c"
    printf '#include "model.h"\n#include "onnx.pb-c.h"\n#include <jansson.h>\n' >"$tree/proto/model.c"
    printf '#include "../proto/model.h"\n#include <regex.h>\n' >"$tree/passes/pass.c"
    printf '#include "passes/pass.h"\n#include "runtime/lower.h"\n#include "model.h"\n' >"$tree/tools/main.c"
}

expect_found() # file, include line
{
    make_tree
    echo "$2" >>"$tree/$1"
    if run "$tree" >/dev/null; then
        echo "not found: $2 in $1"
        failed=1
    fi
}

self_test()
{
    tree=$(mktemp -d) || exit 1
    trap 'rm -rf "$tree"' EXIT
    failed=0
    make_tree
    run "$tree" || failed=1
    expect_found proto/model.h '#include "runtime/lower.h"'
    expect_found proto/model.h '#include "lower.h"'
    expect_found proto/model.c '#include "../passes/pass.h"'
    expect_found proto/model.c '#include <xnnpack.h>'
    expect_found proto/model.c '#include <zlib.h>'
    expect_found passes/pass.c '#include "runtime/lower.h"'
    expect_found passes/pass.c '#include "tools/command.h"'
    expect_found passes/pass.c '#include <jansson.h>'
    expect_found passes/pass.c '#include "onnx.pb-c.h"'
    expect_found runtime/lower.h '#include "passes/pass.h"'
    expect_found runtime/lower.h '#include "../tools/command.h"'
    expect_found runtime/lower.h '#include <xnnpack.h>'
    expect_found runtime/lower.h ' # include <pthreadpool.h>'
    expect_found runtime/lower.h '#include <immintrin.h>'
    expect_found runtime/kernels/conv.c '#include <zlib.h>'
    expect_found runtime/kernels/conv.c '#include <jansson.h>'
    expect_found runtime/data/idx.c '#include "xnnpack.h"'
    expect_found tools/main.c '#include <xxhash.h>'
    expect_found tools/main.c '#include <nobody_knows.h>'
    expect_found tools/main.c '#include HEADER'
    exit "$failed"
}

case $1 in
--self-test) self_test ;;
'') echo "usage: check_includes.sh ROOT | --self-test" >&2 && exit 2 ;;
*) run "$1" ;;
esac
