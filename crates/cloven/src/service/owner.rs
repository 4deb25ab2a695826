//! The network's owner: a trained network becomes a fixed-point one, and that a share for each server.

use std::path::{Path, PathBuf};

use cloven_nn::{
    BatchTargets, ModelSpec, Network,
    fixed_point::{ConversionReport, Ending, FixedModel, StepRange},
};
use cloven_protocols::secure_inference::FirstLayers;
use cloven_wire::Party;
use ndarray::{ArrayD, Axis};

use super::{
    job::{Output, ServiceJob},
    trial,
};
use crate::{Error, party::fresh_randomness};

/// Bits that must be left on every value before it would wrap around.
const ROOM: f64 = 1.0;
/// So many training rows show how large values become.
const CALIBRATION: usize = 1_000;

/// A fixed-point network and what its owner knows of it.
pub(super) struct Owned {
    pub(super) model: FixedModel,
    /// Compared with the floating-point network on the test rows; none without labels for classes.
    pub(super) report: Option<ConversionReport>,
    /// The floating-point network's accuracy on the test rows.
    pub(super) accuracy: Option<f64>,
}

/// Trains the job's trial.
pub(super) fn train(job: &ServiceJob) -> Result<Owned, Error> {
    let trial = job.trial()?;
    let trained = trial::train(job, trial)?;
    let cut = job.trial_job(trial)?.cut()?;
    let model = convert(job, &cut.model, &trained.network)?;
    let first: Vec<usize> = (0..trained.train.rows().min(CALIBRATION)).collect();
    check_room(&model, &trained.train.batch(&first).0)?;
    let report = match &trained.test.targets {
        BatchTargets::Classes(labels) => {
            let scores = trained.network.forward(&trained.test.x)?;
            Some(model.compare(&trained.test.x, &scores, labels)?)
        }
        BatchTargets::Values(_) => None,
    };
    Ok(Owned {
        model,
        report,
        accuracy: trained.evaluation.accuracy,
    })
}

/// A network in the job's fixed point.
///
/// # Errors
/// [`Error`] for a layer that cannot be evaluated on shares, by name.
pub(super) fn convert(job: &ServiceJob, model: &ModelSpec, network: &Network) -> Result<FixedModel, Error> {
    let arrays: Vec<(String, ArrayD<f32>)> = network.parameters().into_iter().chain(network.buffers()).collect();
    let ending = match job.service.output {
        Output::Scores => Ending::Scores,
        Output::ArgMax => Ending::ArgMax,
    };
    let (ring, fraction) = (job.service.ring_bits, job.service.fraction_bits);
    Ok(FixedModel::convert(model, &arrays, ring, fraction, ending)?)
}

/// Whether values as large as these inputs make them fit the ring.
///
/// # Errors
/// [`Error::Model`], naming the first layer whose values do not.
pub(super) fn check_room(model: &FixedModel, x: &ArrayD<f32>) -> Result<Vec<StepRange>, Error> {
    Ok(model.require_room(&model.quantise(x)?, ROOM)?)
}

/// Writes what each server needs into `folder`, mode 0600: `NAME.share`, and where the gateway has layers in the clear its `NAME.layers`.
///
/// # Errors
/// [`Error::File`], and for weights that do not fit.
pub(super) fn write_shares(model: FixedModel, job: &ServiceJob, folder: &Path) -> Result<Vec<PathBuf>, Error> {
    std::fs::create_dir_all(folder).map_err(Error::file(folder))?;
    let servers: Vec<&Party> = job.servers().collect();
    let (first, rest) = match (servers.len(), job.service.gateway_layers) {
        (1, _) => (Some(model), None),
        (_, 0) => (None, Some(model)),
        (_, layers) => {
            let (first, rest) = model.split(layers)?;
            (Some(first), Some(rest))
        }
    };
    let mut written = Vec::new();
    if let Some(first) = first {
        // Whether a gateway can work with it shows now, not when it is started.
        FirstLayers::new(&first, &job.terms()?).map_err(|cause| Error::configuration("service.gateway_layers", cause))?;
        written.push(layers_path(&share_path(folder, job.gateway()?)));
        written.iter().try_for_each(|path| first.save(path))?;
    }
    if let Some(rest) = rest {
        let shares = rest.share(servers.len(), &mut fresh_randomness()?)?;
        for (share, server) in shares.iter().zip(&servers) {
            let path = share_path(folder, server);
            share.save(&path)?;
            written.push(path);
        }
    }
    Ok(written)
}

/// Where the gateway's layers in the clear are: beside its share.
pub(super) fn layers_path(share: &Path) -> PathBuf {
    share.with_extension("layers")
}

/// Where a server's share is.
pub(super) fn share_path(folder: &Path, server: &Party) -> PathBuf {
    folder.join(format!("{server}.share"))
}

impl Owned {
    /// What the conversion cost, for a person.
    pub(super) fn words(&self) -> String {
        match (&self.report, self.accuracy) {
            (Some(report), _) => format!(
                "fixed point: {:.2} % of {} test rows right, {:.2} % in floating point; the same class for {:.2} %",
                100.0 * report.fixed_accuracy,
                report.samples,
                100.0 * report.float_accuracy,
                100.0 * report.agreement
            ),
            (None, Some(accuracy)) => format!("floating point: {:.2} % of the test rows right", 100.0 * accuracy),
            (None, None) => "the network has no classes to compare".into(),
        }
    }

    /// The exact outputs on rows, `[rows, ...]`, in the clear: scores, or the number of the largest.
    pub(super) fn outputs(&self, x: &ArrayD<f32>) -> Result<Vec<Vec<f32>>, Error> {
        let samples = self.model.quantise(x)?;
        debug_assert_eq!(samples.len(), x.len_of(Axis(0)));
        let one = |sample: &Vec<i64>| {
            let output = self.model.evaluate(sample)?;
            Ok(match self.model.structure().ending {
                Ending::Scores => self.model.scores(&output)?,
                Ending::ArgMax => output.iter().map(|class| *class as f32).collect(),
            })
        };
        samples.iter().map(one).collect()
    }
}
