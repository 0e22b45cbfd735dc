//! What computes, in words: everything outside the checkpoint that can change a bit of a score.

use std::fs;

/// The plain candle path on this machine.
///
/// `gemm` picks its kernels by instruction set and its block sizes by cache sizes, and both decide in which order a
/// sum is made.
#[must_use]
pub fn compute_path() -> String {
    let caches: Vec<String> = (0..4)
        .filter_map(|index| {
            let file = format!("/sys/devices/system/cpu/cpu0/cache/index{index}/size");
            fs::read_to_string(file).ok().map(|size| size.trim().to_owned())
        })
        .collect();
    format!(
        "plain fp32 {} {} caches {}",
        std::env::consts::ARCH,
        instruction_set(),
        caches.join(" ")
    )
}

#[cfg(target_arch = "x86_64")]
fn instruction_set() -> &'static str {
    if std::arch::is_x86_feature_detected!("avx512f") {
        "avx512"
    } else if std::arch::is_x86_feature_detected!("fma") {
        "avx2+fma"
    } else {
        "sse2"
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn instruction_set() -> &'static str {
    "default"
}
