//! The command as a person runs it: the real binary, against a daemon that finds words instead of entities.

// `cfg(test)` tells clippy that what the tests share is test code.

#[cfg(test)]
mod book;
#[cfg(test)]
mod command;
#[cfg(test)]
mod connect;
#[cfg(test)]
mod deployment;
#[cfg(test)]
mod failures;
#[cfg(test)]
mod finds;
#[cfg(test)]
mod output;
#[cfg(test)]
mod restart;
#[cfg(test)]
mod stub;
#[cfg(test)]
mod tasks;
#[cfg(test)]
mod terminal;
