//! The tensors of a checkpoint, each handed out by name and shape, and all accounted for.
//!
//! Invariant: after [`Weights::finish`] every tensor of the file was either asked for or named as unused, so a
//! checkpoint that does not fit its config cannot load. fp16 and bf16 become fp32 here.

use std::cell::RefCell;
use std::collections::BTreeSet;

use candle_core::{DType, Device, Tensor};
use safetensors::{Dtype, SafeTensors};

use super::LoadError;

/// A safetensors file, and what was asked for so far.
pub(super) struct Weights<'a> {
    file: SafeTensors<'a>,
    device: &'a Device,
    taken: RefCell<BTreeSet<String>>,
}

/// A prefix within the weights, for one layer.
pub(super) struct Scope<'w> {
    weights: &'w Weights<'w>,
    prefix: String,
}

impl<'a> Weights<'a> {
    /// Reads the table of contents; tensors are converted when asked for.
    pub(super) fn parse(bytes: &'a [u8], device: &'a Device) -> Result<Self, LoadError> {
        let file =
            SafeTensors::deserialize(bytes).map_err(|source| LoadError::Weights { source })?;
        Ok(Self { file, device, taken: RefCell::default() })
    }

    /// Everything in the file.
    pub(super) fn root(&'a self) -> Scope<'a> {
        Scope { weights: self, prefix: String::new() }
    }

    /// Checks that nothing is left over.
    pub(super) fn finish(self) -> Result<(), LoadError> {
        let taken = self.taken.into_inner();
        let left = self.file.names().into_iter().filter(|name| !taken.contains(*name)).min();
        match left {
            None => Ok(()),
            Some(key) => Err(LoadError::UnexpectedWeight { key: key.to_owned() }),
        }
    }
}

impl<'w> Scope<'w> {
    /// The part below `name`.
    pub(super) fn at(&self, name: &str) -> Self {
        Scope { weights: self.weights, prefix: self.key(name) + "." }
    }

    /// The device that tensors are placed on.
    pub(super) fn device(&self) -> &'w Device {
        self.weights.device
    }

    /// Whether the file has `name`, without asking for it.
    pub(super) fn has(&self, name: &str) -> bool {
        self.weights.file.tensor(&self.key(name)).is_ok()
    }

    /// Names tensors that may be in the file and are not used.
    pub(super) fn unused(&self, names: &[&str]) {
        self.weights.taken.borrow_mut().extend(names.iter().map(|name| self.key(name)));
    }

    /// The tensor `name` of exactly `shape`, in fp32.
    pub(super) fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor, LoadError> {
        let tensor = self.any(name)?;
        match tensor.dims() == shape {
            true => Ok(tensor),
            false => Err(self.misshapen(name, &tensor, shape)),
        }
    }

    /// The table `name` of any number of rows, `width` wide, in fp32.
    pub(super) fn table(&self, name: &str, width: usize) -> Result<Tensor, LoadError> {
        let tensor = self.any(name)?;
        match tensor.dims() {
            [rows, columns] if *rows > 0 && *columns == width => Ok(tensor),
            _ => Err(self.misshapen(name, &tensor, &[1, width])),
        }
    }

    fn any(&self, name: &str) -> Result<Tensor, LoadError> {
        let key = self.key(name);
        let Ok(view) = self.weights.file.tensor(&key) else {
            return Err(LoadError::MissingWeight { key });
        };
        let stored = match view.dtype() {
            Dtype::F32 => DType::F32,
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::BF16,
            other => return Err(LoadError::WeightFormat { key, format: format!("{other:?}") }),
        };
        self.weights.taken.borrow_mut().insert(key);
        // Converted on the host: not every device can read fp16.
        Ok(Tensor::from_raw_buffer(view.data(), stored, view.shape(), &Device::Cpu)?
            .to_dtype(DType::F32)?
            .to_device(self.weights.device)?)
    }

    fn misshapen(&self, name: &str, tensor: &Tensor, expected: &[usize]) -> LoadError {
        LoadError::WeightShape {
            key: self.key(name),
            actual: tensor.dims().to_vec(),
            expected: expected.to_vec(),
        }
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}
