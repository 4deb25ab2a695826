//! One GPU: its buffers, its kernels.

use cloven_accel::{
    AccelError,
    gpu::{Gpu, Kernel, OnGpu, Parameters, THREADS},
};
use cudarc::{
    driver::{
        CudaContext, CudaFunction, CudaSlice, CudaStream, DriverError, LaunchConfig, PushKernelArg,
        result::{device, init},
    },
    nvrtc::{CompileError, CompileOptions, compile_ptx_with_opts},
};
use std::sync::Arc;

const KERNELS: &str = include_str!("kernels.cu");

/// Names of the GPUs, in the order of their numbers.
///
/// # Errors
/// [`AccelError::NoDevice`] where there is none, or no driver.
pub fn available() -> Result<Vec<String>, AccelError> {
    // SAFETY: it loads a library of NVIDIA's and unloads it.
    if !unsafe { cudarc::driver::sys::is_culib_present() } {
        return Err(AccelError::no_device("CUDA", "NVIDIA's driver (libcuda) was not found"));
    }
    let names = || -> Result<Vec<String>, DriverError> {
        init()?;
        let count = device::get_count()?;
        (0..count).map(|number| device::get_name(device::get(number)?)).collect()
    };
    match names() {
        Ok(names) if names.is_empty() => Err(AccelError::no_device("CUDA", "the driver knows of no GPU")),
        Ok(names) => Ok(names),
        Err(cause) => Err(AccelError::no_device("CUDA", cause)),
    }
}

/// A GPU by its number in [`available`]; without one the first.
///
/// # Errors
/// [`AccelError::NoDevice`] where there is no such GPU, or no compiler for its kernels, [`AccelError::Device`] where it cannot be used.
pub fn open(number: Option<usize>) -> Result<OnGpu<Cuda>, AccelError> {
    let (names, number) = (available()?, number.unwrap_or(0));
    let name = names.get(number).ok_or_else(|| {
        let cause = format!("expected a GPU from 0 to {}, got {number}", names.len() - 1);
        AccelError::no_device("CUDA", cause)
    })?;
    // SAFETY: it loads a library of NVIDIA's and unloads it.
    if !unsafe { cudarc::nvrtc::sys::is_culib_present() } {
        let cause = "the compiler of kernels (libnvrtc, of the CUDA toolkit) was not found";
        return Err(AccelError::no_device("CUDA", cause));
    }
    Cuda::new(number, format!("{name} (CUDA)")).map(OnGpu)
}

/// A GPU with its kernels. All work is in the order of one stream.
pub struct Cuda {
    name: String,
    stream: Arc<CudaStream>,
    kernels: Vec<CudaFunction>,
}

impl Cuda {
    fn new(number: usize, name: String) -> Result<Self, AccelError> {
        let failed = |cause: DriverError| AccelError::device(&name, cause);
        let context = CudaContext::new(number).map_err(failed)?;
        let architecture = architecture(context.compute_capability().map_err(failed)?);
        let options = CompileOptions {
            options: vec![format!("--gpu-architecture={architecture}"), "--std=c++11".into()],
            ..Default::default()
        };
        let compiled = compile_ptx_with_opts(KERNELS, options).map_err(|cause| AccelError::device(&name, words(&cause)))?;
        let module = context.load_module(compiled).map_err(failed)?;
        // In the order of their numbers.
        let kernels = Kernel::ALL.iter().map(|kernel| module.load_function(kernel.function()));
        Ok(Self {
            kernels: kernels.collect::<Result<_, _>>().map_err(failed)?,
            stream: context.default_stream(),
            name,
        })
    }

    fn failed(&self, cause: DriverError) -> AccelError {
        AccelError::device(&self.name, cause)
    }
}

/// What kernels are compiled for: code for a GPU of 2018 runs on all later ones, which a compiler may be too old to know.
fn architecture((major, minor): (i32, i32)) -> String {
    match (major, minor) >= (7, 5) {
        true => "compute_75".into(),
        false => format!("compute_{major}{minor}"),
    }
}

fn words(error: &CompileError) -> String {
    match error {
        CompileError::CompileError { log, .. } => format!("kernels: {}", log.to_string_lossy()),
        other => format!("kernels: {other}"),
    }
}

impl Gpu for Cuda {
    type Buffer = Arc<CudaSlice<u8>>;

    fn name(&self) -> String {
        self.name.clone()
    }

    fn allocate(&mut self, words: usize) -> Result<Self::Buffer, AccelError> {
        let zeros = self.stream.alloc_zeros(4 * words);
        zeros.map(Arc::new).map_err(|cause| self.failed(cause))
    }

    fn upload(&mut self, bytes: &[u8]) -> Result<Self::Buffer, AccelError> {
        let copy = self.stream.clone_htod(bytes);
        copy.map(Arc::new).map_err(|cause| self.failed(cause))
    }

    fn download(&mut self, buffer: &Self::Buffer) -> Result<Vec<u8>, AccelError> {
        let bytes = self.stream.clone_dtoh(&**buffer).map_err(|cause| self.failed(cause))?;
        // Errors of what was launched before appear here.
        self.stream.synchronize().map_err(|cause| self.failed(cause))?;
        Ok(bytes)
    }

    fn launch(
        &mut self,
        kernel: Kernel,
        parameters: &Parameters,
        [left, right]: [&Self::Buffer; 2],
        output: &Self::Buffer,
        groups: usize,
    ) -> Result<(), AccelError> {
        let mut launch = self.stream.launch_builder(&self.kernels[kernel as usize]);
        launch.arg(parameters).arg(&**left).arg(&**right).arg(&**output);
        let shape = LaunchConfig {
            // At most 65535.
            grid_dim: (groups as u32, 1, 1),
            block_dim: (THREADS as u32, 1, 1),
            shared_mem_bytes: 0,
        };
        // SAFETY: the kernel takes 16 words by value and three pointers, as given, and reads and writes what its parameters say, which is how long `OnGpu` has made
        // the buffers. No other stream touches these, and they are freed in this stream's order.
        unsafe { launch.launch(shape) }.map_err(|cause| self.failed(cause))?;
        Ok(())
    }
}
