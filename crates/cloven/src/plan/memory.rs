//! Resident memory of each party, by what it has to hold at once.

use cloven_nn::{LayerSpec, ModelSpec, Network, OptimiserSpec};
use cloven_protocols::encrypted_activation::Direction;

use super::{pieces::Pieces, recorder::Action, rehearsal::Rehearsed};
use crate::{
    Error, Job,
    job::{Mode, Protocol, Samples},
    reporter::peak_rss_bytes,
};

/// Bytes of a number of a tensor.
const NUMBER: u64 = 4;
/// Bytes of a coefficient modulo a prime.
const COEFFICIENT: u64 = 8;

/// The peak that a party's own state adds to a process that does nothing: client, server. `rows` are each client's.
pub(super) fn state(job: &Job, rows: [usize; 2], rehearsed: Option<&Rehearsed>) -> Result<[u64; 2], Error> {
    let cut = job.cut()?;
    let (layers, clients) = (cut.model.layers.len(), job.clients().count() as u64);
    let sealed = job.protocol == Protocol::EncryptedActivation;
    // Under encryption the client has V, or the layer that works out its gradient.
    let own = [
        Some(0..cut.server.start),
        sealed.then_some(cut.server.clone()),
        Some(cut.server.end..layers),
    ];
    let client: u64 = own
        .into_iter()
        .flatten()
        .map(|range| network(job, rows, &cut.model, range))
        .sum::<Result<u64, Error>>()?;
    let copies = if sealed && job.mode() == Mode::Sealed { 1 } else { clients };
    let server = copies * network(job, rows, &cut.model, cut.server.clone())?;
    let frames = rehearsed.map_or(0, |rehearsed| largest(&rehearsed.client).max(largest(&rehearsed.server)));
    // Encoded, between script and socket, and decoded.
    let frames = 3 * frames;
    Ok([client + frames, server + clients * (frames + prepared_layer(job)?)])
}

/// What a client's rows take once they are loaded: f32, training and test.
pub(super) fn rows(job: &Job, rows: [usize; 2]) -> u64 {
    let sample: usize = job.data.shape.iter().product();
    ((rows[0] + rows[1]) * (sample + 1)) as u64 * NUMBER
}

/// Weights with gradients, optimiser's state and a checkpoint on its way to the disk, and the activations of a batch.
fn network(job: &Job, rows: [usize; 2], model: &ModelSpec, range: std::ops::Range<usize>) -> Result<u64, Error> {
    let parameters: usize = Network::new(model, range.clone(), job.seed)?
        .parameters()
        .iter()
        .map(|(_, value)| value.len())
        .sum();
    let slots = match &job.training.optimiser {
        OptimiserSpec::AdamW { .. } => 2,
        OptimiserSpec::Sgd { momentum, .. } => usize::from(*momentum != 0.0),
        OptimiserSpec::Sgld { .. } => 0,
    };
    let kept = if job.training.checkpoint_every > 0 {
        3 * (1 + slots)
    } else {
        0
    };
    let shapes = model.shapes()?;
    let sizes = || {
        shapes[range.start..=range.end]
            .iter()
            .map(|shape| shape.iter().product::<usize>())
    };
    let (layers, shapes) = (&model.layers[range.clone()], &shapes[range.start..=range.end]);
    let patches = || {
        layers
            .iter()
            .zip(shapes.windows(2))
            .map(|(layer, ends)| patches(layer, &ends[0], &ends[1]))
    };
    let largest = sizes().max().unwrap_or(0);
    // Training keeps every layer's input and makes a gradient of each in turn; evaluation has one layer's input and output at a time.
    let training = job.training.batch.min(rows[0]) * (sizes().sum::<usize>() + patches().sum::<usize>() + 2 * largest);
    let evaluation = job.training.evaluation_batch.min(rows[1]) * (3 * largest + patches().max().unwrap_or(0));
    Ok((parameters * (2 + slots + kept) + training.max(evaluation)) as u64 * NUMBER)
}

/// Numbers of a convolution's input as patches, one for each output position; what attention keeps beside its input.
fn patches(layer: &LayerSpec, input: &[usize], output: &[usize]) -> usize {
    let area = match layer {
        LayerSpec::Conv1d { kernel, .. } => *kernel,
        LayerSpec::Conv2d { kernel, .. } => kernel * kernel,
        LayerSpec::Patches { .. } => return input.iter().product(),
        // Queries, keys and values and what is made of them; scores and probabilities.
        LayerSpec::Attention { heads, .. } => {
            let tokens = input.first().copied().unwrap_or(0);
            return 4 * input.iter().product::<usize>() + 2 * heads * tokens * tokens;
        }
        _ => return 0,
    };
    let positions: usize = output.iter().skip(1).product();
    input.first().copied().unwrap_or(0) * area * positions
}

/// The layer as the server's cipher needs it, for each client.
fn prepared_layer(job: &Job) -> Result<u64, Error> {
    if job.protocol == Protocol::EncryptedModel {
        // Matrices as they came, as words, and on their way to the disk; a batch's rows.
        let products = job.product_layers()?;
        let products = products.iter().map(|layer| &layer.encryption);
        let products: usize = products.map(|e| 5 * e.weights_len() + e.rows_len(job.training.batch)).sum();
        let first = match job.samples() {
            Samples::Encrypted => 0,
            // Beside the matrix itself, a copy on its way to the disk.
            Samples::Clear => 3 * job.layer_encryption()?.held_len(),
        };
        return Ok((products + first) as u64);
    }
    if job.protocol != Protocol::EncryptedActivation {
        return Ok(0);
    }
    let sealing = job.sealing()?;
    let directions = [Direction::Forward, Direction::Backward].map(|direction| {
        let layout = sealing.layout(direction);
        ((layout.input_blocks() + 1) * layout.output_blocks()) as u64
    });
    Ok(directions.iter().sum::<u64>() * (COEFFICIENT << sealing.parameters().log2_degree()))
}

fn largest(pieces: &Pieces) -> u64 {
    let sent = pieces.values().flatten().filter_map(|step| match step.action {
        Action::Send(bytes) => Some(bytes),
        _ => None,
    });
    sent.max().unwrap_or(0)
}

/// Runs `load` and measures by how much it raises the peak of this process's memory; nothing where the system does not tell.
pub(super) fn rise<T>(load: impl FnOnce() -> Result<T, Error>) -> Result<(T, Option<u64>), Error> {
    let before = peak_rss_bytes();
    let loaded = load()?;
    let rise = peak_rss_bytes().zip(before).map(|(after, before)| after - before);
    Ok((loaded, rise))
}
