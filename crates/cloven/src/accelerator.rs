//! What a worker's products are computed on: `accelerator` in its `local.toml`.

use cloven_accel::job::{Cpu, Limits, Worker};
use cloven_protocols::{Observe, ProtocolError, enclave};
use cloven_wire::{Channel, Link};
use serde::{Deserialize, Serialize};

use crate::Error;

#[cfg(test)]
mod tests;

/// A kind of device, and which one of that kind: `cpu`, `wgpu`, `wgpu:1`, `cuda`, `cuda:0`. Numbers are those of [`Self::available`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Accelerator {
    /// This machine's processor.
    #[default]
    Cpu,
    /// A GPU with a driver for Vulkan, Metal or Direct3D 12: the one of a number, or the first that is no software. Where cloven is built with `--features wgpu`.
    Wgpu(Option<usize>),
    /// An NVIDIA GPU, by CUDA's driver: the one of a number, or the first. Where cloven is built with `--features cuda`.
    Cuda(Option<usize>),
}

/// A worker on the device that its operator chose. Its slots are one customer's.
pub enum AcceleratedWorker {
    /// On the processor.
    Cpu(Worker<Cpu>),
    /// On a GPU, through wgpu.
    #[cfg(feature = "wgpu")]
    Wgpu(Box<Worker<cloven_accel::gpu::OnGpu<cloven_accel_wgpu::Wgpu>>>),
    /// On a GPU, through CUDA.
    #[cfg(feature = "cuda")]
    Cuda(Box<Worker<cloven_accel::gpu::OnGpu<cloven_accel_cuda::Cuda>>>),
}

impl Accelerator {
    /// The device, ready to compute within limits.
    ///
    /// # Errors
    /// [`Error::Configuration`] where there is no such device, it cannot be used, or this program was built without its kind.
    pub fn open(self, limits: Limits) -> Result<AcceleratedWorker, Error> {
        match self {
            Self::Cpu => Ok(AcceleratedWorker::Cpu(Worker::new(limits))),
            #[cfg(feature = "wgpu")]
            Self::Wgpu(number) => match cloven_accel_wgpu::open(number) {
                Ok(device) => Ok(AcceleratedWorker::Wgpu(Box::new(Worker::on(device, limits)))),
                Err(cause) => Err(Error::configuration("accelerator", cause)),
            },
            #[cfg(feature = "cuda")]
            Self::Cuda(number) => match cloven_accel_cuda::open(number) {
                Ok(device) => Ok(AcceleratedWorker::Cuda(Box::new(Worker::on(device, limits)))),
                Err(cause) => Err(Error::configuration("accelerator", cause)),
            },
            #[cfg(not(feature = "wgpu"))]
            Self::Wgpu(_) => Err(left_out("wgpu")),
            #[cfg(not(feature = "cuda"))]
            Self::Cuda(_) => Err(left_out("cuda")),
        }
    }

    /// Every device of this machine that this program can compute on, with its name.
    pub fn available() -> Vec<(Self, String)> {
        let cpu = (Self::Cpu, Worker::new(Limits::default()).device_name());
        #[cfg_attr(not(any(feature = "wgpu", feature = "cuda")), expect(unused_mut))]
        let mut all = vec![cpu];
        #[cfg(feature = "wgpu")]
        all.extend(numbered(Self::Wgpu, cloven_accel_wgpu::available()));
        #[cfg(feature = "cuda")]
        all.extend(numbered(Self::Cuda, cloven_accel_cuda::available()));
        all
    }
}

#[cfg(not(all(feature = "wgpu", feature = "cuda")))]
fn left_out(kind: &str) -> Error {
    let problem = format!("\"{kind}\" is not in this program: build it with --features {kind}, or compute on \"cpu\"");
    Error::configuration("accelerator", problem)
}

#[cfg(any(feature = "wgpu", feature = "cuda"))]
fn numbered(
    kind: fn(Option<usize>) -> Accelerator,
    names: Result<Vec<String>, cloven_accel::AccelError>,
) -> impl Iterator<Item = (Accelerator, String)> {
    let names = names.unwrap_or_default().into_iter().enumerate();
    names.map(move |(number, name)| (kind(Some(number)), name))
}

impl AcceleratedWorker {
    /// Kind and name of the device, for people.
    pub fn device_name(&self) -> String {
        match self {
            Self::Cpu(worker) => worker.device_name(),
            #[cfg(feature = "wgpu")]
            Self::Wgpu(worker) => worker.device_name(),
            #[cfg(feature = "cuda")]
            Self::Cuda(worker) => worker.device_name(),
        }
    }

    /// The worker's script ([`enclave::worker`]).
    ///
    /// # Errors
    /// As the script's.
    pub async fn compute<C: Channel>(self, link: &mut Link<C>, observe: &mut Observe<'_>) -> Result<(), ProtocolError> {
        match self {
            Self::Cpu(worker) => enclave::worker(worker, link, observe).await,
            #[cfg(feature = "wgpu")]
            Self::Wgpu(worker) => enclave::worker(*worker, link, observe).await,
            #[cfg(feature = "cuda")]
            Self::Cuda(worker) => enclave::worker(*worker, link, observe).await,
        }
    }
}

impl TryFrom<String> for Accelerator {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (kind, number) = match text.split_once(':') {
            Some((kind, number)) => (kind, Some(number.parse::<usize>().ok())),
            None => (text.as_str(), None),
        };
        match (kind, number) {
            ("cpu", None) => Ok(Self::Cpu),
            ("wgpu", None) => Ok(Self::Wgpu(None)),
            ("cuda", None) => Ok(Self::Cuda(None)),
            ("wgpu", Some(Some(number))) => Ok(Self::Wgpu(Some(number))),
            ("cuda", Some(Some(number))) => Ok(Self::Cuda(Some(number))),
            _ => Err(format!(
                "expected an accelerator such as \"cpu\", \"wgpu\", \"wgpu:1\" or \"cuda\", got {text:?}"
            )),
        }
    }
}

impl From<Accelerator> for String {
    fn from(accelerator: Accelerator) -> Self {
        let (kind, number) = match accelerator {
            Accelerator::Cpu => ("cpu", None),
            Accelerator::Wgpu(number) => ("wgpu", number),
            Accelerator::Cuda(number) => ("cuda", number),
        };
        match number {
            None => kind.to_owned(),
            Some(number) => format!("{kind}:{number}"),
        }
    }
}
