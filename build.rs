//! Compiles `proto/` into `OUT_DIR`: Rust code and the file descriptor set that reflection serves. Needs no `protoc`.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Every file of the schema, relative to `proto/`.
const FILES: [&str; 7] = [
    "gleand/v1/config.proto",
    "gleand/v1/errors.proto",
    "gleand/v1/events.proto",
    "gleand/v1/extraction.proto",
    "gleand/v1/models.proto",
    "gleand/v1/results.proto",
    "gleand/v1/tasks.proto",
];

/// Messages (and with them their oneofs) that hold text, labels or names: `wire::lengths` writes their `Debug`.
const WITHOUT_DEBUG: [&str; 16] = [
    ".gleand.v1.Answer",
    ".gleand.v1.Argument",
    ".gleand.v1.Chunk",
    ".gleand.v1.ClassScore",
    ".gleand.v1.Config",
    ".gleand.v1.ExtractDocumentRequest",
    ".gleand.v1.ExtractManyItem",
    ".gleand.v1.ExtractRequest",
    ".gleand.v1.Label",
    ".gleand.v1.Mention",
    ".gleand.v1.OpenTask",
    ".gleand.v1.Question",
    ".gleand.v1.Relation",
    ".gleand.v1.RelationType",
    ".gleand.v1.SummarySpan",
    ".gleand.v1.Warning",
];

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new("proto");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=proto");

    let mut compiler = protox::Compiler::new([root])?;
    // With comments, so that reflection can show them.
    compiler.include_source_info(true).include_imports(true).open_files(FILES)?;
    fs::write(out.join("gleand.v1.binpb"), compiler.encode_file_descriptor_set())?;

    tonic_prost_build::configure()
        .bytes(".gleand.v1")
        .extern_path(".google.rpc.Status", "::tonic_types::Status")
        .skip_debug(WITHOUT_DEBUG)
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
