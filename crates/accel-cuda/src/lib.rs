//! An accelerator on an NVIDIA GPU, through CUDA's driver.
//!
//! Nothing of CUDA is needed to build this: the driver (`libcuda`) and the compiler of kernels (`libnvrtc`, of the CUDA toolkit 11 to 13) are loaded when a GPU is
//! opened. The toolkit is to be no newer than the driver; the GPU is one that has `dp4a`, of compute capability 6.1 or later.
//!
//! ```no_run
//! use cloven_accel::job::{Limits, Worker};
//!
//! # fn main() -> Result<(), cloven_accel::AccelError> {
//! let worker = Worker::on(cloven_accel_cuda::open(None)?, Limits::default());
//! println!("computing on {}", worker.device_name());
//! # Ok(())
//! # }
//! ```
//!
//! The kernels are in `kernels.cu`; how tensors lie in buffers and what is launched on them is [`cloven_accel::gpu`]'s, as for other GPUs.
//!
//! `unsafe` is the look for the libraries and the launch of a kernel, whose buffers are as long as its parameters say.

#[allow(unsafe_code)]
mod device;

pub use device::{Cuda, available, open};
