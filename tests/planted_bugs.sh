#!/usr/bin/env bash
# Plants bugs into a copy of the tree, one at a time, and fails unless the named test of tests/properties finds
# each of them. A control run without a bug must pass.
#
# Dependencies that the optimised build of tests/run made are used again (hard links), so only the crate itself is compiled.
# PROPTEST_CASES (2000) is the number of random documents of each property.
set -euo pipefail

cd "$(dirname "$0")/.."
root=$PWD
# Those of the optimised build, with the folders of this tree, so that its dependencies serve.
. deploy/flags.sh
built=${CARGO_TARGET_DIR:-$root/target}
work=$built/planted
tree=$work/tree
export PROPTEST_CASES=${PROPTEST_CASES:-2000} PROPTEST_MAX_SHRINK_ITERS=0

rm -rf "$work"
mkdir -p "$tree" "$work/target/release" "$work/target/$GLEAND_TARGET/release"
trap 'rm -rf "$work"' EXIT
git ls-files -z --cached --others --exclude-standard | grep -zv '^tests/data\|^tests/parity' | xargs -0 cp --parents -t "$tree"
# The manifest names this test.
mkdir -p "$tree/tests/parity" && echo 'fn main() {}' >"$tree/tests/parity/main.rs"
for part in {,"$GLEAND_TARGET/"}release/{deps,build,.fingerprint}; do
  if [ -d "$built/$part" ]; then cp -al "$built/$part" "$work/target/${part%/*}/"; fi
done

# Runs the properties and prints the names of those that fail, or "does not compile".
failing() {
  local log=$work/log
  if (cd "$tree" && CARGO_TARGET_DIR=$work/target cargo test --release --locked --target "$GLEAND_TARGET" --test properties -- p1_p2 p3_ p5_) >"$log" 2>&1; then
    return
  fi
  if ! grep -q '^running ' "$log"; then
    tail -n 20 "$log" >&2
    echo "does not compile"
  fi
  sed -n 's/^test \(.*\) \.\.\. FAILED$/\1/p' "$log"
}

missed=0
# plant NAME FILE PERL_SUBSTITUTION TEST
plant() {
  local name=$1 file=$2 change=$3 test=$4 found
  cp "$root/$file" "$work/original"
  perl -0pi -e "$change" "$tree/$file"
  if cmp -s "$work/original" "$tree/$file"; then
    printf '%-22s | %s\n' "$name" "NOT PLANTED: $file has changed, so this script must"
    missed=1
    return
  fi
  found=$(failing)
  cp "$work/original" "$tree/$file"
  touch "$tree/$file"
  if ! grep -q "::$test" <<<"$found"; then
    missed=1
    found="NOT FOUND by $test; ${found:-nothing failed}"
  fi
  printf '%-22s | %s\n' "$name" "$(tr '\n' ' ' <<<"$found")"
}

printf '%-22s | %s\n' "bug" "tests that fail"
control=$(failing)
printf '%-22s | %s\n' "none" "${control:--}"
if [ -n "$control" ]; then exit 1; fi

plant "margin too small" src/pipeline/window.rs \
  's/right_margin: mention_words_max - 1,/right_margin: mention_words_max.saturating_sub(2),/' \
  p5_p6_windows_find_exactly_what_the_whole_text_has
plant "settled too early" src/pipeline/task/mod.rs \
  's/spans\.take\(candidates, core\.end,/spans.take(candidates, words.end,/' \
  p5_p6_windows_find_exactly_what_the_whole_text_has
plant "ownership off" src/pipeline/task/mod.rs \
  's/core: \(place\(core\.start\), place\(core\.end\)\),/core: (0, place(words.end)),/' \
  p5_p6_windows_find_exactly_what_the_whole_text_has
plant "pairs owned twice" src/pipeline/task/pairs.rs \
  's/\(near && self\.core\.contains\(&first\)\)\.then_some\(head\)/(near \&\& first < u64::MAX).then_some(head)/' \
  p5_relations_are_those_of_the_whole_text
plant "pairs not awaited" src/pipeline/task/relations.rs \
  's/words\.end <= is_final/words.start <= is_final/' \
  p5_relations_are_those_of_the_whole_text
plant "the first answer stays" src/pipeline/task/questions.rs \
  's/if at >= max \{/if at >= max || best.len() >= max {/' \
  p5_the_best_answers_are_those_of_the_whole_text
plant "sentence told early" src/pipeline/task/sentences.rs \
  's/end\.filter\(\|end\| \*end <= frontier\)/end/' \
  p1_p2_p6_neither_chunks_nor_order_nor_polling_change_a_result_of_any_task
plant "word emitted too early" src/pipeline/intake.rs \
  's/(self\.decoder = decoder;\s*)self\.settle\(\);/$1self.close_word();/' \
  p1_p2_neither_chunks_nor_order_nor_polling_change_a_result
exit "$missed"
