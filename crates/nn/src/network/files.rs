//! Model files in the safetensors format: weights alone to hand on, or with the optimiser's state to go on training.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use ndarray::{ArrayD, IxDyn};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};

use super::Network;
use super::buffer::Buffer;
use super::parameter::{Parameter, parameter_error};
use crate::{MAX_PARAMETERS, ModelError};

/// Room for names, shapes and metadata in a file, beyond its numbers.
const HEADER_ROOM: u64 = 1 << 20;
/// What errors call a checkpoint that is no file.
const IN_MEMORY: &str = "checkpoint";
/// Metadata entry of a checkpoint: the number of updates made.
const UPDATES: &str = "updates";
/// What follows a parameter's name in the name of the optimiser's arrays about it.
const MOMENTS: [&str; 2] = ["moment1", "moment2"];
/// PyTorch's count of batches beside running statistics, an integer; with a fixed momentum nothing depends on it.
const BATCHES: &str = ".num_batches_tracked";

type Named = Vec<(String, ArrayD<f32>)>;

impl Network {
    /// Writes the parameters and buffers, named and laid out as in [`Network::parameters`] and [`Network::buffers`], with `metadata`
    /// beside them: an `nn.Sequential` of the same layers loads them by `load_state_dict`. The file
    /// appears whole or not at all, and is on disk when this returns.
    ///
    /// # Errors
    /// [`ModelError::File`] if it cannot be written.
    pub fn save_safetensors(&self, path: &Path, metadata: &HashMap<String, String>) -> Result<(), ModelError> {
        write(path, &self.arrays(), metadata.clone())
    }

    /// Takes parameters and buffers from such a file, which must hold exactly those of this network (and may hold PyTorch's
    /// `num_batches_tracked`), and returns its metadata. The optimiser keeps what it remembers.
    ///
    /// # Errors
    /// [`ModelError::File`] for a file that is unreadable, malformed or too large, [`ModelError::Parameter`] for one
    /// with other parameters or non-finite numbers; the network is then unchanged.
    pub fn load_safetensors(&mut self, path: &Path) -> Result<HashMap<String, String>, ModelError> {
        let (arrays, metadata) = read(path, self.bytes_at_most())?;
        self.set_arrays(arrays)?;
        Ok(metadata)
    }

    /// Takes parameters and buffers from a file that names them otherwise or holds more, such as one of a whole PyTorch model, and returns its
    /// metadata. `prefixes` are pairs (theirs, ours): of the first pair whose left side begins an array's name, up to a dot, the right
    /// side takes its place, so `("features.0", "0")` reads "features.0.weight" as "0.weight", and `("", "3.body")` puts "3.body."
    /// before all names. Names that begin with no left side stay. What this network then has no place for is left out; layouts are
    /// PyTorch's. The optimiser keeps what it remembers.
    ///
    /// # Errors
    /// As [`Network::load_safetensors`]; the file may have up to 4 bytes for each of [`MAX_PARAMETERS`].
    pub fn import_safetensors(
        &mut self,
        path: &Path,
        prefixes: &[(String, String)],
    ) -> Result<HashMap<String, String>, ModelError> {
        let own: BTreeSet<String> = self.names().map(str::to_owned).collect();
        let take = |name: &str| Some(renamed(name, prefixes)).filter(|name| own.contains(name));
        let (arrays, metadata) = read_some(path, MAX_PARAMETERS as u64 * 4 + HEADER_ROOM, take)?;
        self.set_arrays(arrays)?;
        Ok(metadata)
    }

    /// As [`Network::save_safetensors`], with all that training needs to go on as if it had not stopped. The metadata
    /// entry `updates` is the network's own.
    ///
    /// # Errors
    /// As [`Network::save_safetensors`].
    pub fn save_checkpoint(&self, path: &Path, metadata: &HashMap<String, String>) -> Result<(), ModelError> {
        let (arrays, metadata) = self.state(metadata);
        write(path, &arrays, metadata)
    }

    /// The content of a checkpoint file, see [`Network::save_checkpoint`].
    ///
    /// # Errors
    /// [`ModelError::File`] if the format cannot hold it.
    pub fn checkpoint(&self) -> Result<Vec<u8>, ModelError> {
        let (arrays, metadata) = self.state(&HashMap::new());
        serialised(Path::new(IN_MEMORY), &arrays, metadata)
    }

    /// Parameters, buffers and the optimiser's state.
    fn state(&self, metadata: &HashMap<String, String>) -> (Named, HashMap<String, String>) {
        let mut arrays = self.arrays();
        for parameter in self.parameter_refs() {
            let moments = parameter.moment_arrays().into_iter().zip(MOMENTS);
            arrays.extend(moments.map(|(array, suffix)| (format!("{}.{suffix}", parameter.name()), array)));
        }
        let mut metadata = metadata.clone();
        metadata.insert(UPDATES.to_owned(), self.updates.to_string());
        (arrays, metadata)
    }

    /// Goes back to the state of a checkpoint made under the same optimiser settings, and returns its metadata.
    ///
    /// # Errors
    /// As [`Network::load_safetensors`], and [`ModelError::Order`] without an optimiser.
    pub fn load_checkpoint(&mut self, path: &Path) -> Result<HashMap<String, String>, ModelError> {
        let bytes = read_bytes(path, self.bytes_at_most())?;
        self.restore_from(path, &bytes)
    }

    /// Goes back to the state that [`Network::checkpoint`] gave.
    ///
    /// # Errors
    /// As [`Network::load_checkpoint`].
    pub fn restore(&mut self, checkpoint: &[u8]) -> Result<(), ModelError> {
        self.restore_from(Path::new(IN_MEMORY), checkpoint).map(|_| ())
    }

    fn restore_from(&mut self, path: &Path, bytes: &[u8]) -> Result<HashMap<String, String>, ModelError> {
        let Some(optimiser) = &self.optimiser else {
            return Err(ModelError::Order {
                call: "load_checkpoint",
                missing: "with_optimiser",
            });
        };
        let (mut arrays, mut metadata) = parse(path, bytes)?;
        let updates = metadata.remove(UPDATES).and_then(|updates| updates.parse().ok());
        let updates: u64 = updates.ok_or_else(|| file_error(path, "expected a checkpoint, got no number of updates"))?;
        let suffixes = if updates == 0 {
            &[]
        } else {
            &MOMENTS[..optimiser.moment_count()]
        };
        let moments = self.take_moments(&mut arrays, suffixes)?;
        self.set_arrays(arrays)?;
        for (parameter, moments) in self.parameters_mut().zip(&moments) {
            parameter.set_moments(moments);
        }
        self.updates = updates;
        Ok(metadata)
    }

    /// Parameters and buffers.
    fn arrays(&self) -> Named {
        [self.parameters(), self.buffers()].concat()
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        let parameters = self.parameter_refs().map(Parameter::name);
        parameters.chain(self.layers.buffers().map(Buffer::name))
    }

    /// Replaces all parameters and buffers, or nothing.
    fn set_arrays(&mut self, arrays: Named) -> Result<(), ModelError> {
        let (buffers, parameters) = self.sorted(arrays);
        self.checked(&parameters)?;
        self.set_buffers(&buffers)?;
        self.set_parameters(&parameters)
    }

    /// Whether these are all parameters and buffers.
    fn check_arrays(&self, arrays: &Named) -> Result<(), ModelError> {
        let (buffers, parameters) = self.sorted(arrays.clone());
        self.checked(&parameters)?;
        self.checked_buffers(&buffers).map(|_| ())
    }

    /// Buffers, and the rest.
    fn sorted(&self, arrays: Named) -> (Named, Named) {
        let is_buffer = |name: &str| self.layers.buffers().any(|buffer| buffer.name() == name);
        arrays.into_iter().partition(|(name, _)| is_buffer(name))
    }

    /// Moves the arrays with these suffixes out of `arrays`: those of each parameter, checked.
    fn take_moments(&self, arrays: &mut Named, suffixes: &[&str]) -> Result<Vec<Vec<ArrayD<f32>>>, ModelError> {
        let mut take = |name: &str, suffix: &&str| {
            let name = format!("{name}.{suffix}");
            let position = arrays.iter().position(|(given, _)| *given == name);
            position
                .map(|at| arrays.swap_remove(at).1)
                .ok_or_else(|| parameter_error(&name, "the optimiser's state", "nothing"))
        };
        let of_parameter = |parameter: &Parameter| {
            let moments: Result<Vec<_>, _> = suffixes.iter().map(|suffix| take(parameter.name(), suffix)).collect();
            let moments = moments?;
            moments.iter().try_for_each(|moment| parameter.check(moment))?;
            Ok(moments)
        };
        self.parameter_refs().map(of_parameter).collect()
    }

    /// The size of the largest file that can be this network's: parameters, two moments each, buffers, a header.
    fn bytes_at_most(&self) -> u64 {
        let values: usize = self
            .parameter_refs()
            .map(|parameter| parameter.shape().iter().product::<usize>())
            .sum();
        let buffers: usize = self.layers.buffers().map(|buffer| buffer.values().len()).sum();
        values as u64 * 4 * (1 + MOMENTS.len() as u64) + buffers as u64 * 4 + HEADER_ROOM
    }
}

/// Writes the parameters and buffers of several parts of one model into one file, as [`Network::save_safetensors`] does for one part.
///
/// # Errors
/// As [`Network::save_safetensors`].
pub fn save_safetensors(path: &Path, parts: &[Network], metadata: HashMap<String, String>) -> Result<(), ModelError> {
    write(path, &parts.iter().flat_map(Network::arrays).collect(), metadata)
}

/// What a file of [`save_safetensors`] holds, not yet given to a network: the metadata may say that it is the wrong file.
pub struct Weights {
    arrays: Named,
    metadata: HashMap<String, String>,
}

impl Weights {
    /// Reads a file that should hold the parameters and buffers of these parts of a model.
    ///
    /// # Errors
    /// [`ModelError::File`] for a file that is unreadable, malformed or larger than any file of these parts.
    pub fn read(path: &Path, parts: &[&Network]) -> Result<Self, ModelError> {
        let limit = parts.iter().map(|part| part.bytes_at_most()).sum();
        let (arrays, metadata) = read(path, limit)?;
        Ok(Self { arrays, metadata })
    }

    /// What stands beside the parameters.
    pub fn metadata(&self) -> &HashMap<String, String> {
        &self.metadata
    }

    /// Gives each part its parameters and buffers; the file must hold exactly those of all parts.
    ///
    /// # Errors
    /// [`ModelError::Parameter`] for a missing, unknown, misshapen or non-finite one; no part is then changed.
    pub fn give(self, parts: &mut [&mut Network]) -> Result<(), ModelError> {
        let mut rest = self.arrays;
        let mut shares = Vec::new();
        for part in &*parts {
            let names: Vec<String> = part.arrays().into_iter().map(|(name, _)| name).collect();
            let (share, others): (Named, Named) = rest.into_iter().partition(|(name, _)| names.contains(name));
            part.check_arrays(&share)?;
            shares.push(share);
            rest = others;
        }
        if let Some((name, _)) = rest.first() {
            return Err(parameter_error(name, "only those of this party's layers", "it"));
        }
        parts
            .iter_mut()
            .zip(shares)
            .try_for_each(|(part, share)| part.set_arrays(share))
    }
}

/// The content of a file; `path` names it in errors.
fn serialised(path: &Path, arrays: &Named, metadata: HashMap<String, String>) -> Result<Vec<u8>, ModelError> {
    let problem = |error: &dyn std::fmt::Display| file_error(path, error.to_string());
    let bytes: Vec<(&String, &[usize], Vec<u8>)> = arrays
        .iter()
        .map(|(name, array)| (name, array.shape(), little_endian(array)))
        .collect();
    let mut views = Vec::new();
    for (name, shape, bytes) in &bytes {
        views.push((
            name,
            TensorView::new(Dtype::F32, shape.to_vec(), bytes).map_err(|e| problem(&e))?,
        ));
    }
    serialize(views, Some(metadata)).map_err(|e| problem(&e))
}

fn little_endian(array: &ArrayD<f32>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(4 * array.len());
    array.iter().for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()));
    bytes
}

fn write(path: &Path, arrays: &Named, metadata: HashMap<String, String>) -> Result<(), ModelError> {
    write_bytes(path, &serialised(path, arrays, metadata)?)
}

/// Writes to a temporary file beside `path`, makes it durable, and puts it in place.
pub(crate) fn write_bytes(path: &Path, file: &[u8]) -> Result<(), ModelError> {
    let problem = |error: &dyn std::fmt::Display| file_error(path, error.to_string());
    // A bare file name has the empty parent, which is no folder.
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut temporary = tempfile::NamedTempFile::new_in(folder).map_err(|e| problem(&e))?;
    temporary
        .write_all(file)
        .and_then(|()| temporary.as_file().sync_all())
        .map_err(|e| problem(&e))?;
    temporary.persist(path).map_err(|e| problem(&e))?;
    // The rename itself is durable only with its folder; not every system lets a folder be opened.
    if let Ok(folder) = File::open(folder) {
        folder.sync_all().map_err(|e| problem(&e))?;
    }
    Ok(())
}

/// All arrays (but PyTorch's counts of batches) and the metadata of a file of at most `limit` bytes.
fn read(path: &Path, limit: u64) -> Result<(Named, HashMap<String, String>), ModelError> {
    parse(path, &read_bytes(path, limit)?)
}

/// A file of at most `limit` bytes.
pub(crate) fn read_bytes(path: &Path, limit: u64) -> Result<Vec<u8>, ModelError> {
    let problem = |error: &dyn std::fmt::Display| file_error(path, error.to_string());
    let file = File::open(path).map_err(|e| problem(&e))?;
    let mut bytes = Vec::new();
    // One byte more than allowed tells a file that is too large, whatever its length claims to be.
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|e| problem(&e))?;
    if bytes.len() as u64 > limit {
        return Err(file_error(path, format!("expected at most {limit} bytes, got more")));
    }
    Ok(bytes)
}

/// All arrays (but PyTorch's counts of batches) and the metadata of a file's content.
fn parse(path: &Path, bytes: &[u8]) -> Result<(Named, HashMap<String, String>), ModelError> {
    parse_some(path, bytes, |name| (!name.ends_with(BATCHES)).then(|| name.to_owned()))
}

/// The metadata of a file of at most `limit` bytes, and the arrays to whose names `take` gives one of ours.
fn read_some(
    path: &Path,
    limit: u64,
    take: impl Fn(&str) -> Option<String>,
) -> Result<(Named, HashMap<String, String>), ModelError> {
    parse_some(path, &read_bytes(path, limit)?, take)
}

fn parse_some(
    path: &Path,
    bytes: &[u8],
    take: impl Fn(&str) -> Option<String>,
) -> Result<(Named, HashMap<String, String>), ModelError> {
    let problem = |error: &dyn std::fmt::Display| file_error(path, error.to_string());
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| problem(&e))?;
    let tensors = SafeTensors::deserialize(bytes).map_err(|e| problem(&e))?;
    let arrays = tensors
        .iter()
        .filter_map(|(name, view)| Some((name, take(name)?, view)))
        .map(|(name, ours, view)| Ok((ours, decode(name, &view)?)))
        .collect::<Result<_, _>>()?;
    Ok((arrays, header.metadata().clone().unwrap_or_default()))
}

/// The name with its prefix replaced by the first pair (theirs, ours) that fits.
fn renamed(name: &str, prefixes: &[(String, String)]) -> String {
    let rest = |theirs: &str| match theirs {
        "" => Some(name),
        _ => name.strip_prefix(theirs)?.strip_prefix('.'),
    };
    let fits = |(theirs, ours): &(String, String)| Some((rest(theirs)?, ours.clone()));
    match prefixes.iter().find_map(fits) {
        Some((rest, ours)) if ours.is_empty() => rest.to_owned(),
        Some((rest, ours)) => format!("{ours}.{rest}"),
        None => name.to_owned(),
    }
}

fn decode(name: &str, view: &TensorView<'_>) -> Result<ArrayD<f32>, ModelError> {
    if view.dtype() != Dtype::F32 {
        return Err(parameter_error(name, "F32", format!("{:?}", view.dtype())));
    }
    let (words, _) = view.data().as_chunks();
    let values = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
    ArrayD::from_shape_vec(IxDyn(view.shape()), values)
        .map_err(|error| parameter_error(name, format!("values for shape {:?}", view.shape()), error.to_string()))
}

pub(crate) fn file_error(path: &Path, problem: impl Into<String>) -> ModelError {
    ModelError::File {
        path: path.display().to_string(),
        problem: problem.into(),
    }
}
