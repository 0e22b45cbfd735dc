//! Where a model runs: `cpu` or `cuda:N`.

use std::fmt;
use std::str::FromStr;

use candle_core::Device;

/// A device as a person writes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DeviceSpec {
    /// The processor.
    #[default]
    Cpu,
    /// The CUDA device of this number.
    Cuda(usize),
}

/// A device could not be used.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// Not a device name.
    #[error("{name:?} is no device: write cpu, cuda or cuda:N")]
    Unknown {
        /// What was written.
        name: String,
    },
    /// The binary has no code for the device.
    #[error("{device} needs a binary built with `--features cuda`")]
    NotBuilt {
        /// The device asked for.
        device: DeviceSpec,
    },
    /// The device exists in this build but does not open.
    #[error("{device} does not open")]
    Open {
        /// The device asked for.
        device: DeviceSpec,
        /// What candle said.
        source: candle_core::Error,
    },
}

impl DeviceSpec {
    /// Opens the device.
    ///
    /// # Errors
    /// [`DeviceError`] when this build or this machine does not have it.
    pub fn open(self) -> Result<Device, DeviceError> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda(_) if !cfg!(feature = "cuda") => Err(DeviceError::NotBuilt { device: self }),
            Self::Cuda(ordinal) => Device::new_cuda(ordinal)
                .map_err(|source| DeviceError::Open { device: self, source }),
        }
    }
}

impl FromStr for DeviceSpec {
    type Err = DeviceError;

    fn from_str(name: &str) -> Result<Self, DeviceError> {
        let unknown = || DeviceError::Unknown { name: name.to_owned() };
        match name.trim().split_once(':') {
            None if name.trim() == "cpu" => Ok(Self::Cpu),
            None if name.trim() == "cuda" => Ok(Self::Cuda(0)),
            Some(("cuda", ordinal)) => ordinal.parse().ok().map(Self::Cuda).ok_or_else(unknown),
            None | Some(_) => Err(unknown()),
        }
    }
}

impl fmt::Display for DeviceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(ordinal) => write!(f, "cuda:{ordinal}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{DeviceError, DeviceSpec};

    #[test]
    fn names_are_read_and_written_alike() {
        for (name, device) in [("cpu", DeviceSpec::Cpu), ("cuda:3", DeviceSpec::Cuda(3))] {
            assert_eq!(name.parse::<DeviceSpec>().unwrap(), device);
            assert_eq!(device.to_string(), name);
        }
        assert_eq!("cuda".parse::<DeviceSpec>().unwrap(), DeviceSpec::Cuda(0));
        for name in ["", "gpu", "cuda:", "cuda:-1", "cpu:0", "metal"] {
            assert!(
                matches!(name.parse::<DeviceSpec>(), Err(DeviceError::Unknown { .. })),
                "{name}"
            );
        }
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_build_without_cuda_says_which_feature_is_missing() {
        let error = DeviceSpec::Cuda(0).open().unwrap_err();
        assert_eq!(error.to_string(), "cuda:0 needs a binary built with `--features cuda`");
    }
}
