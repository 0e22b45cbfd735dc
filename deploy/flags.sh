# Sourced from the root of the repository: how the binary of the image, of the tests and of a release is built.
#
# One static executable, so that the image needs nothing else, and none of the builder's folders in it, so that two clones
# give the same bytes. The target is named because flags would otherwise reach build scripts and macros, which cannot be
# static. Encoded, because folders may have spaces; it takes the place of RUSTFLAGS.
GLEAND_TARGET=$(uname -m)-unknown-linux-gnu
GLEAND_BUILT=$(realpath -m "${CARGO_TARGET_DIR:-target}")/$GLEAND_TARGET/release
CARGO_ENCODED_RUSTFLAGS=$(printf '%s\037%s\037%s' -Ctarget-feature=+crt-static \
    "--remap-path-prefix=$(pwd -P)=/gleand" "--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo")
export CARGO_ENCODED_RUSTFLAGS
# What a C compiler writes for __DATE__ and __TIME__, which mimalloc has in its version.
export SOURCE_DATE_EPOCH=0
