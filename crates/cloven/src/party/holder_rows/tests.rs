use std::collections::BTreeMap;

use super::*;
use crate::{Protocol, init::template, job::parse_settings};

fn job(settings: &[&str]) -> Job {
    let settings: Vec<String> = settings.iter().map(|s| (*s).to_owned()).collect();
    let text = template("wdbc", Some(Protocol::Vertical)).unwrap();
    Job::parse(&text, "job.toml", &parse_settings(&settings).unwrap()).unwrap()
}

fn load(job: &Job, name: &str) -> Result<HolderRows, Error> {
    let party: Party = name.parse().unwrap();
    let local = Local {
        columns: Some(ColumnRange(job.columns_of(&party))),
        ..Local::default()
    };
    HolderRows::load(job, &party, job.role(&party)?, &local)
}

/// Where each holder has the rows that both have, as an alignment would say.
fn places(rows: [&HolderRows; 2]) -> [Vec<usize>; 2] {
    let place: BTreeMap<&Id, usize> = rows[1].digests().iter().zip(0..).collect();
    let common = rows[0].digests().iter().enumerate().filter(|(_, id)| place.contains_key(id));
    let first: Vec<usize> = common.map(|(row, _)| row).collect();
    let second = first.iter().map(|row| place[&rows[0].digests()[*row]]).collect();
    [first, second]
}

#[test]
fn holders_have_the_columns_and_labels_of_the_same_rows() {
    let job = job(&["data.standardise=false", "data.train_rows=300", "data.test_rows=50"]);
    let [clinic, lab] = ["clinic", "lab"].map(|name| load(&job, name).unwrap());
    assert_ne!(clinic.digests(), lab.digests(), "orders of their own");
    let [of_clinic, of_lab] = places([&clinic, &lab]);
    let (at_clinic, at_lab) = (clinic.aligned(&job, &of_clinic).unwrap(), lab.aligned(&job, &of_lab).unwrap());
    let (left, right) = (at_clinic.columns.unwrap(), at_lab.columns.unwrap());
    assert_eq!([left.train.dim(), right.train.dim()], [(300, 10), (300, 20)]);
    assert_eq!([left.test.dim(), right.test.dim()], [(50, 10), (50, 20)]);
    assert!(at_lab.targets.is_none());
    let [BatchTargets::Values(train), BatchTargets::Values(test)] = at_clinic.targets.unwrap() else {
        panic!("one output for two classes")
    };
    // Each row and its label as the whole table has them.
    let whole = cloven_data::embedded::wdbc();
    let Targets::Classes { index, .. } = &whole.targets else {
        panic!("classes")
    };
    let bits = |row: &mut dyn Iterator<Item = &f32>| row.map(|value| value.to_bits()).collect::<Vec<_>>();
    let labels: BTreeMap<Vec<u32>, u32> = whole
        .x
        .outer_iter()
        .zip(index)
        .map(|(row, label)| (bits(&mut row.iter()), *label))
        .collect();
    for (left, right, targets) in [(left.train, right.train, train), (left.test, right.test, test)] {
        for ((left, right), target) in left.outer_iter().zip(right.outer_iter()).zip(&targets) {
            let label = labels.get(&bits(&mut left.iter().chain(right)));
            assert_eq!(label.map(|label| *label as f32), Some(*target));
        }
    }
}

#[test]
fn columns_are_standardised_by_the_training_rows() {
    let job = job(&[]);
    let lab = load(&job, "lab").unwrap();
    let all: Vec<usize> = (0..569).collect();
    let columns = lab.aligned(&job, &all).unwrap().columns.unwrap();
    let (mean, std) = (
        columns.train.mean_axis(Axis(0)).unwrap(),
        columns.train.std_axis(Axis(0), 0.0),
    );
    assert!(mean.iter().all(|mean| mean.abs() < 1e-4) && std.iter().all(|std| (std - 1.0).abs() < 1e-3));
    assert!(columns.test.mean_axis(Axis(0)).unwrap().iter().any(|mean| mean.abs() > 1e-3));
}

#[test]
fn what_does_not_fit_the_job_is_refused() {
    for (settings, name, expected) in [
        (&["data.name=digits"][..], "lab", "no columns of a table"),
        (
            &["data.columns={clinic=10,lab=21}", "data.shape=[31]"],
            "lab",
            "expected some of 30 features, got 10..31",
        ),
    ] {
        let error = load(&job(settings), name).err().unwrap().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let job = job(&[]);
    let party: Party = "lab".parse().unwrap();
    let error = HolderRows::load(&job, &party, Role::Holder, &Local::default()).err().unwrap();
    assert!(error.to_string().contains("say which are this one's"), "{error}");
    let lab = load(&job, "lab").unwrap();
    assert!(lab.aligned(&job, &[3]).is_err(), "a part without a row");
    assert!(lab.aligned(&job, &[569]).is_err(), "no such row");
}
