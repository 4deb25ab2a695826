//! `cloven audit` of an enclave's training: what a worker can do with its products when it knows the network that the training began with.

mod known;
#[cfg(test)]
mod tests;
mod view;

use std::{collections::BTreeMap, path::Path};

use cloven_audit::{
    Audit,
    permuted::{Operand, SeenProduct, audit_products},
};
use cloven_nn::Network;
use cloven_wire::{Party, recording::Recording};
use ndarray::ArrayD;

use self::{
    known::{KnownProduct, known_products},
    view::WorkerView,
};
use super::{PartyAudit, failed, how_it_ends};
use crate::{Error, Record};

/// What the attack begins with, and what it is scored by.
pub(crate) struct Beginning {
    /// The network that the customer sent to the enclave: the attacker knows its weights. From the job's seed, or pre-trained.
    pub(crate) network: Network,
    /// The samples of the first batch, `[rows, sample...]`, in the order in which the customer sent them: to score by.
    pub(crate) batch: ArrayD<f32>,
}

/// Attacks the recorded view of every worker that has one: the first weights that it was sent of each product, which are those that the training began with.
///
/// `job` is the job's digest. Workers without a recording are left out.
///
/// # Errors
/// [`Error::Configuration`] for a recording that is damaged, of another job or party, or of other layers than the network's.
pub(crate) fn parties(
    run_folder: &Path,
    job: [u8; 32],
    workers: &[Party],
    beginning: Beginning,
) -> Result<BTreeMap<Party, PartyAudit>, Error> {
    let recorded: Vec<&Party> = workers
        .iter()
        .filter(|party| Record::path(run_folder, party).exists())
        .collect();
    let mut parties = BTreeMap::new();
    if recorded.is_empty() {
        return Ok(parties);
    }
    let known = known_products(beginning.network, &beginning.batch)?;
    for party in recorded {
        parties.insert(party.clone(), of_worker(run_folder, job, party, &known)?);
    }
    Ok(parties)
}

fn of_worker(run_folder: &Path, job: [u8; 32], party: &Party, known: &[KnownProduct]) -> Result<PartyAudit, Error> {
    let path = Record::path(run_folder, party);
    let wrong = |e| Error::configuration(path.display(), e);
    let mut recording = Recording::open(&path).map_err(wrong)?;
    if recording.job() != job || recording.party() != party {
        let problem = format!("expected {party}'s view of this run's job, got another");
        return Err(Error::configuration(path.display(), problem));
    }
    let mut view = WorkerView::read(recording.by_ref(), &path)?;
    let (mut products, mut missing) = (Vec::new(), Vec::new());
    for product in known {
        match view.take(product, &path)? {
            Some(seen) => products.push(seen),
            None => missing.push(format!("weights {}: the recording ends before", product.name)),
        }
    }
    let mut audit = audit_products(&products).map_err(|e| failed(&path, e))?;
    audit.not_tried.extend(missing);
    audit.not_tried.extend(collusion(&products, &audit));
    let recording = how_it_ends(&recording);
    Ok(PartyAudit { recording, audit })
}

/// What a view alone cannot show.
fn collusion(products: &[SeenProduct], audit: &Audit) -> Option<String> {
    let shares = products.iter().any(|product| matches!(product.weights, Operand::Share(_)));
    let why =
        "weights and inputs from the shares of two workers: views are attacked one by one; any two together give everything";
    (shares && !audit.findings.is_empty()).then(|| why.to_owned())
}
