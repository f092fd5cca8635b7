#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Proves the one arrow, engine <- shards <- io, and that the engine is pure.
#
#   tests/layers.sh LIBENGINE
#
# LIBENGINE is the engine's archive of a release build without link-time
# optimisation: what it leaves undefined is all that the engine can call.
# Each check is then turned on a planted breach and must find it.
set -euo pipefail

archive=$(readlink -f "${1:?usage: tests/layers.sh LIBENGINE}")
root=$(readlink -f "$(dirname "$0")/..")
planted=$(mktemp -d)
trap 'rm -rf "$planted"' EXIT

# What the engine may call beside itself: the compiler may turn any copy into one of the mem*.
callable='^(mem(chr|cmp|cpy|move|set)|__assert_fail|__stack_chk_fail)$'
# Headers of the language, and <string.h> for mem*.
engine_headers='(assert|limits|stdalign|stdbool|stddef|stdint|string)\.h'

# check_symbols ARCHIVE: prints every symbol that the engine may not call; fails if there is one.
check_symbols() {
    local own foreign
    own=$(nm --defined-only --format=posix "$1" | awk 'NF > 1 { print $1 }' | sort -u)
    foreign=$(nm --undefined-only --format=posix "$1" | awk 'NF > 1 { print $1 }' | sort -u |
        grep -vxF -e "$own" | grep -vE "$callable" || true)
    if [[ -n $foreign ]]; then
        echo "engine calls ${foreign//$'\n'/, }"
        return 1
    fi
}

# refuse FOLDER PATTERN: prints the includes in ./FOLDER that match; fails if there is one.
refuse() {
    [[ -d $1 ]] || return 0
    ! grep -rnP --include='*.[ch]' --include='*.def' "^\s*#\s*include\s*$2" "$1"
}

# check_includes ROOT: prints every include against the arrow; fails if there is one.
check_includes() (
    cd "$1"
    held=0
    refuse engine '"(shards|io|bench|tests)/' || held=1
    refuse shards '"(io|bench|tests)/' || held=1
    refuse io '"(bench|tests)/' || held=1
    refuse engine "<(?!$engine_headers>)" || held=1
    # Includes are rooted: a folder comes first, or it is a public header.
    for folder in engine shards io bench tests; do
        refuse "$folder" '"(?!(engine|shards|io|bench|tests)/|tricast(_[a-z]+|/[a-z]+)?\.h")' || held=1
    done
    exit "$held"
)

failed=0
say_failed() {
    echo "$1"
    failed=1
}

check_symbols "$archive" || say_failed "libengine.a reaches outside the engine"
check_includes "$root" || say_failed "an include goes against engine <- shards <- io"
[[ $(nm --defined-only --format=posix "$archive") == *$'\n''tri_engine_step T '* ]] ||
    say_failed "libengine.a does not define tri_engine_step: nothing was proved"

# The checks themselves: each planted breach must be found, by name.
mkdir "$planted"/{engine,shards,io}
"${CC:-cc}" -x c -c -o "$planted/planted.o" - <<'END'
void *malloc(unsigned long bytes);
void *tri_planted(void);
void *tri_planted(void) { return malloc(8); }
END
ar rcs "$planted/libplanted.a" "$planted/planted.o"
found=$(check_symbols "$planted/libplanted.a") && say_failed "a planted malloc was not found"
[[ $found == "engine calls malloc" ]] || say_failed "a planted malloc was not named: $found"

plant() { # FILE INCLUDE: this one include must turn check_includes red
    local breach
    echo "#include $2" >"$planted/$1"
    breach=$(check_includes "$planted") && say_failed "a planted $2 in $1 was not found"
    [[ $breach == *"$1"* ]] || say_failed "a planted $2 in $1 was not named"
    rm "$planted/$1"
}
plant engine/planted.c '"shards/ring.h"'
plant engine/planted.h '"io/net.h"'
plant engine/planted.c '<stdio.h>'
plant shards/planted.c '"io/net.h"'
plant io/planted.c '"tests/tap.h"'
plant shards/planted.h '"ring.h"'
check_includes "$planted" || say_failed "clean folders were refused"

exit "$failed"
