//! `cloven audit` of a vertical run: the server's view of the first layer, and what holders see of the gradient.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use cloven_audit::vertical::{RoundRows, Rounds, VerticalTruth, VerticalView, audit_vertical};
use cloven_nn::BatchTargets;
use cloven_protocols::vertical::{Columns, Terms};
use cloven_wire::{Party, recording::Recording};
use ndarray::{Array2, Axis, concatenate};

use super::{AuditOptions, PartyAudit, failed, how_it_ends};
use crate::{
    Error, Job, Record,
    orchestrate::locals,
    party::{HolderRows, read_places},
};

/// Attacks every recorded view with all holders' data at hand to score by.
pub(super) fn parties(run_folder: &Path, job: &Job, options: &AuditOptions) -> Result<BTreeMap<Party, PartyAudit>, Error> {
    let terms = job.vertical_terms()?;
    let recorded: Vec<&Party> = job
        .parties
        .keys()
        .filter(|party| Record::path(run_folder, party).exists())
        .collect();
    let mut parties = BTreeMap::new();
    if recorded.is_empty() {
        return Ok(parties);
    }
    let (truth, rows) = truth(run_folder, job, &terms, options)?;
    let rounds = rounds(&terms, rows);
    for party in recorded {
        let path = Record::path(run_folder, party);
        let wrong = |e| Error::configuration(path.display(), e);
        let mut recording = Recording::open(&path).map_err(wrong)?;
        if recording.job() != job.digest() || recording.party() != party {
            let problem = format!("expected {party}'s view of this run's job, got another");
            return Err(Error::configuration(path.display(), problem));
        }
        let view = VerticalView::read(recording.by_ref(), &rounds).map_err(|e| failed(&path, e))?;
        let audit = audit_vertical(&view, &truth).map_err(|e| failed(&path, e))?;
        let recording = how_it_ends(&recording);
        parties.insert(party.clone(), PartyAudit { recording, audit });
    }
    Ok(parties)
}

/// All holders' rows in the order that they agreed on, and how many there are for training and for testing.
fn truth(run_folder: &Path, job: &Job, terms: &Terms, options: &AuditOptions) -> Result<(VerticalTruth, [usize; 2]), Error> {
    // A party's settings lie in a folder of its name beside the job.
    let job_folder = options.local.as_deref().and_then(Path::parent).and_then(Path::parent);
    let nowhere = PathBuf::from("none");
    let locals = locals(job, job_folder.unwrap_or(&nowhere), None)?;
    let (mut columns, mut names, mut labels): (Vec<Columns>, Vec<String>, Option<Vec<u32>>) = Default::default();
    for holder in terms.holders() {
        let local = locals.get(holder).cloned().unwrap_or_default();
        let rows = HolderRows::load(job, holder, job.role(holder)?, &local)?;
        let places = read_places(&Record::rows(run_folder, holder), rows.digests())?;
        let aligned = rows.aligned(job, &places)?;
        columns.extend(aligned.columns);
        names.extend(
            aligned
                .preprocessing
                .preprocessor
                .iter()
                .flat_map(|preprocessor| preprocessor.names()),
        );
        labels = labels.or(aligned.targets.and_then(|[train, _]| classes(train)));
    }
    let joined = |of: fn(&Columns) -> &Array2<f32>| {
        let all: Vec<_> = columns.iter().map(|columns| of(columns).view()).collect();
        concatenate(Axis(1), &all).map_err(|_| {
            let problem = "the holders' recorded rows are not equally many: they are not of one run";
            Error::configuration(run_folder.join("transcript").display(), problem)
        })
    };
    let (train, test) = (joined(|columns| &columns.train)?, joined(|columns| &columns.test)?);
    let rows = [train.nrows(), test.nrows()];
    let classes = job.data.classes.unwrap_or(0);
    let truth = VerticalTruth {
        train,
        test,
        names,
        labels,
        classes,
    };
    Ok((truth, rows))
}

fn classes(targets: BatchTargets) -> Option<Vec<u32>> {
    match targets {
        BatchTargets::Classes(index) => Some(index),
        // Two classes as one output.
        BatchTargets::Values(values) if values.ndim() == 2 && values.len_of(Axis(1)) == 1 => {
            Some(values.iter().map(|value| u32::from(*value > 0.5)).collect())
        }
        BatchTargets::Values(_) => None,
    }
}

/// Which rows each round is about: as the scripts count rounds.
fn rounds(terms: &Terms, [train_rows, test_rows]: [usize; 2]) -> Rounds {
    let schedule = terms.schedule;
    let (mut rows, mut round) = (BTreeMap::new(), 0);
    for epoch in 1..=schedule.epochs {
        for batch in terms.shuffle.order(epoch, train_rows).chunks(schedule.batch) {
            round += 1;
            rows.insert(round, RoundRows::Training(batch.to_vec()));
        }
        round += 1;
        if schedule.evaluates_after(epoch) {
            let all: Vec<usize> = (0..test_rows).collect();
            for batch in all.chunks(schedule.evaluation_batch) {
                round += 1;
                rows.insert(round, RoundRows::Test(batch.to_vec()));
            }
        }
        round += u64::from(schedule.checkpoint_every > 0);
    }
    Rounds {
        holders: terms.columns.keys().cloned().collect(),
        width: terms.width,
        train_rows,
        test_rows,
        rows,
    }
}
