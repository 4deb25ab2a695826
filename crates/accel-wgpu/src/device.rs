//! Buffers and kernels of one adapter.

use cloven_accel::{
    AccelError,
    gpu::{Gpu, Kernel, Parameters},
};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use wgpu::{
    Adapter, BindGroupDescriptor, BindGroupEntry, BindGroupLayout, BindGroupLayoutDescriptor, BindGroupLayoutEntry, BindingType,
    Buffer, BufferBindingType, BufferDescriptor, BufferUsages, ComputePassDescriptor, ComputePipeline, ComputePipelineDescriptor,
    Device, DeviceDescriptor, MapMode, PipelineLayoutDescriptor, PollType, Queue, ShaderStages, include_wgsl,
};

/// Bytes of buffers that may be made before the GPU is waited for: those that are no longer wanted are freed then.
const UNWAITED: u64 = 1 << 30;

/// An adapter with its kernels.
pub struct Wgpu {
    name: String,
    device: Device,
    queue: Queue,
    layout: BindGroupLayout,
    kernels: Vec<ComputePipeline>,
    parameters: Buffer,
    most_bytes: u64,
    unwaited: u64,
    failures: Arc<Mutex<Failures>>,
}

/// What the driver said since it was last looked at.
#[derive(Default)]
struct Failures {
    /// It stays so.
    lost: Option<String>,
    /// The first error.
    error: Option<String>,
}

impl Wgpu {
    pub(crate) fn new(adapter: &Adapter, name: String) -> Result<Self, AccelError> {
        let limits = adapter.limits();
        let most_bytes = limits.max_buffer_size.min(limits.max_storage_buffer_binding_size);
        let descriptor = DeviceDescriptor {
            required_limits: limits,
            ..Default::default()
        };
        let opened = pollster::block_on(adapter.request_device(&descriptor));
        let (device, queue) = opened.map_err(|cause| AccelError::device(&name, cause))?;
        let failures = watch(&device);
        let layout = layout(&device);
        let kernels = kernels(&device, &layout);
        let parameters = device.create_buffer(&BufferDescriptor {
            label: None,
            size: size_of::<Parameters>() as u64,
            usage: BufferUsages::UNIFORM | BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let opened = Self {
            name,
            device,
            queue,
            layout,
            kernels,
            parameters,
            most_bytes,
            unwaited: 0,
            failures,
        };
        opened.checked()?;
        Ok(opened)
    }

    /// That the driver has reported no error.
    fn checked(&self) -> Result<(), AccelError> {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let error = failures.error.take();
        match failures.lost.clone().or(error) {
            Some(cause) => Err(AccelError::device(&self.name, cause)),
            None => Ok(()),
        }
    }

    /// Until everything is computed.
    fn wait(&mut self) -> Result<(), AccelError> {
        let waited = self.device.poll(PollType::wait_indefinitely());
        waited.map_err(|cause| AccelError::device(&self.name, cause))?;
        self.unwaited = 0;
        self.checked()
    }

    fn buffer(&mut self, bytes: u64, usage: BufferUsages) -> Result<Buffer, AccelError> {
        if bytes > self.most_bytes {
            return Err(AccelError::TooMany {
                what: "bytes of one tensor on the device",
                max: usize::try_from(self.most_bytes).unwrap_or(usize::MAX),
                actual: usize::try_from(bytes).unwrap_or(usize::MAX),
            });
        }
        self.unwaited += bytes;
        if self.unwaited > UNWAITED {
            self.wait()?;
        }
        let buffer = self.device.create_buffer(&BufferDescriptor {
            label: None,
            size: bytes,
            usage,
            mapped_at_creation: false,
        });
        self.checked()?;
        Ok(buffer)
    }

    fn tensor(&mut self, bytes: u64) -> Result<Buffer, AccelError> {
        self.buffer(bytes, BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST)
    }
}

impl Gpu for Wgpu {
    type Buffer = Buffer;

    fn name(&self) -> String {
        self.name.clone()
    }

    fn allocate(&mut self, words: usize) -> Result<Buffer, AccelError> {
        // Buffers are zero when they are made.
        self.tensor(4 * words as u64)
    }

    fn upload(&mut self, bytes: &[u8]) -> Result<Buffer, AccelError> {
        let buffer = self.tensor(bytes.len() as u64)?;
        self.queue.write_buffer(&buffer, 0, bytes);
        self.checked()?;
        Ok(buffer)
    }

    fn download(&mut self, buffer: &Buffer) -> Result<Vec<u8>, AccelError> {
        let readable = self.buffer(buffer.size(), BufferUsages::MAP_READ | BufferUsages::COPY_DST)?;
        let mut commands = self.device.create_command_encoder(&Default::default());
        commands.copy_buffer_to_buffer(buffer, 0, &readable, 0, buffer.size());
        self.queue.submit([commands.finish()]);
        let (tell, told) = mpsc::channel();
        readable.map_async(MapMode::Read, .., move |mapped| {
            // Nobody listens where the wait below has failed.
            let _ = tell.send(mapped);
        });
        self.wait()?;
        let failed = |cause: &dyn std::fmt::Display| AccelError::device(&self.name, cause);
        let mapped = told.recv().map_err(|cause| failed(&cause))?;
        mapped.map_err(|cause| failed(&cause))?;
        let bytes = readable.get_mapped_range(..).map_err(|cause| failed(&cause))?.to_vec();
        readable.unmap();
        Ok(bytes)
    }

    fn launch(
        &mut self,
        kernel: Kernel,
        parameters: &Parameters,
        [left, right]: [&Buffer; 2],
        output: &Buffer,
        groups: usize,
    ) -> Result<(), AccelError> {
        // Written before the commands that are submitted next, and after all that were before.
        self.queue.write_buffer(&self.parameters, 0, bytemuck::cast_slice(parameters));
        let buffers = [&self.parameters, left, right, output].into_iter().zip(0..);
        let entries = buffers.map(|(buffer, binding)| BindGroupEntry {
            binding,
            resource: buffer.as_entire_binding(),
        });
        let bound = self.device.create_bind_group(&BindGroupDescriptor {
            label: None,
            layout: &self.layout,
            entries: &entries.collect::<Vec<_>>(),
        });
        let mut commands = self.device.create_command_encoder(&Default::default());
        {
            let mut pass = commands.begin_compute_pass(&ComputePassDescriptor::default());
            pass.set_pipeline(&self.kernels[kernel as usize]);
            pass.set_bind_group(0, &bound, &[]);
            // At most 65535.
            pass.dispatch_workgroups(groups as u32, 1, 1);
        }
        self.queue.submit([commands.finish()]);
        self.checked()
    }
}

/// Errors go where [`Wgpu::checked`] finds them; without this they would be panics.
fn watch(device: &Device) -> Arc<Mutex<Failures>> {
    let failures = Arc::new(Mutex::new(Failures::default()));
    let noted = failures.clone();
    device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
        let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
        noted.error.get_or_insert_with(|| error.to_string());
    }));
    let noted = failures.clone();
    device.set_device_lost_callback(move |reason, message| {
        let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
        noted.lost = Some(format!("lost ({reason:?}): {message}"));
    });
    failures
}

/// Parameters, two operands, an output: the same for all kernels.
fn layout(device: &Device) -> BindGroupLayout {
    let kinds = [
        BufferBindingType::Uniform,
        BufferBindingType::Storage { read_only: true },
        BufferBindingType::Storage { read_only: true },
        BufferBindingType::Storage { read_only: false },
    ];
    let entries = kinds.into_iter().zip(0..).map(|(ty, binding)| BindGroupLayoutEntry {
        binding,
        visibility: ShaderStages::COMPUTE,
        ty: BindingType::Buffer {
            ty,
            has_dynamic_offset: false,
            min_binding_size: None,
        },
        count: None,
    });
    device.create_bind_group_layout(&BindGroupLayoutDescriptor {
        label: None,
        entries: &entries.collect::<Vec<_>>(),
    })
}

/// In the order of [`Kernel::ALL`], which is that of their numbers.
fn kernels(device: &Device, layout: &BindGroupLayout) -> Vec<ComputePipeline> {
    let module = device.create_shader_module(include_wgsl!("kernels.wgsl"));
    let layout = device.create_pipeline_layout(&PipelineLayoutDescriptor {
        label: None,
        bind_group_layouts: &[Some(layout)],
        immediate_size: 0,
    });
    let pipeline = |kernel: Kernel| {
        device.create_compute_pipeline(&ComputePipelineDescriptor {
            label: Some(kernel.function()),
            layout: Some(&layout),
            module: &module,
            entry_point: Some(kernel.function()),
            compilation_options: Default::default(),
            cache: None,
        })
    };
    Kernel::ALL.map(pipeline).into()
}
