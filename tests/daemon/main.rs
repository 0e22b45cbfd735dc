//! The real binary as a daemon: what documents cost it, and that they do not touch each other.

// `cfg(test)` tells clippy that what the tests share is test code.

#[cfg(test)]
mod process;

#[cfg(test)]
mod memory;
#[cfg(test)]
mod neutrality;
