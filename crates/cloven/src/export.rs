//! `cloven export`: trained weights of a run folder as one file that PyTorch loads.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use cloven_nn::{ModelError, ModelSpec, Network, Weights, save_safetensors};
use cloven_wire::Party;
use ndarray::ArrayD;
use serde::Serialize;
use serde_json::Value;

use crate::{
    Error, Job, Role, RunFolder,
    job::{Cut, Mode, Protocol},
};

/// What [`export`] wrote.
#[derive(Debug, Clone, Serialize)]
pub struct Exported {
    /// The file.
    pub path: PathBuf,
    /// The parties whose weights are in it.
    pub parties: Vec<Party>,
    /// The numbers of the layers in it.
    pub layers: Vec<usize>,
    /// Trainable numbers in it.
    pub parameters: usize,
    /// Python that builds these layers and loads the file; empty with `snippet_problem`.
    pub snippet: String,
    /// Why there is no snippet.
    pub snippet_problem: Option<String>,
}

/// Writes the weights of one party, or of the whole model when `party` is `None` and the folder has every party's, as safetensors with
/// PyTorch's names. Under `encrypted-activation` the server's layer is what the server holds plus what the client has not revealed.
///
/// # Errors
/// [`Error::Configuration`] for a folder without the checkpoints needed, [`Error::Model`] for one that does not fit the job or an output that
/// cannot be written.
pub fn export(run_folder: &Path, party: Option<&Party>, output: &Path) -> Result<Exported, Error> {
    let job = Job::read(&run_folder.join("job.toml"), &[])?;
    let cut = job.cut()?;
    let whole = 0..cut.model.layers.len();
    let own = |role: Role| match role {
        Role::Server => vec![cut.server.clone()],
        Role::Client => vec![0..cut.server.start, cut.server.end..whole.end],
    };
    let parties: Vec<&Party> = match party {
        Some(party) => vec![party],
        None => one_of_each(&job, run_folder)?,
    };
    let mut parts = Vec::new();
    for party in &parties {
        let ranges = own(job.role(party)?);
        let mut networks = ranges
            .into_iter()
            .map(|range| Network::new(&cut.model, range, job.seed))
            .collect::<Result<Vec<_>, ModelError>>()?;
        let path = checkpoint(run_folder, party)?;
        let weights = Weights::read(&path, &networks.iter().collect::<Vec<_>>())?;
        weights.give(&mut networks.iter_mut().collect::<Vec<_>>())?;
        parts.extend(networks);
    }
    parts.sort_by_key(|part| part.range().start);
    if party.is_none() && job.protocol == Protocol::EncryptedActivation && job.mode() == Mode::Sealed {
        add_unrevealed(&job, &cut, run_folder, &parties, &mut parts)?;
    }
    save_safetensors(output, &parts, HashMap::from([("job".to_owned(), job.digest_hex())]))?;
    let layers: Vec<usize> = parts.iter().flat_map(Network::range).collect();
    let snippet = snippet(&cut.model, &layers, output);
    Ok(Exported {
        path: output.to_owned(),
        parties: parties.into_iter().cloned().collect(),
        parameters: parts.iter().flat_map(Network::parameters).map(|(_, value)| value.len()).sum(),
        layers,
        snippet: snippet.clone().unwrap_or_default(),
        snippet_problem: snippet.err(),
    })
}

/// The one client and the one server, if the folder has both checkpoints.
fn one_of_each<'a>(job: &'a Job, run_folder: &Path) -> Result<Vec<&'a Party>, Error> {
    let wrong = |problem: String| Err(Error::configuration(run_folder.display(), problem));
    let missing: Vec<String> = job
        .parties
        .keys()
        .filter(|party| !RunFolder::checkpoint(run_folder, party).exists())
        .map(Party::to_string)
        .collect();
    match (missing.is_empty(), job.parties.len()) {
        (true, 2) => Ok(job.parties.keys().collect()),
        (true, _) => wrong("several clients: say with --as whose weights are to be exported".to_owned()),
        (false, _) => wrong(format!(
            "the whole model needs every party's weights, those of {} are not here; export one party's with --as",
            missing.join(" and ")
        )),
    }
}

fn checkpoint(run_folder: &Path, party: &Party) -> Result<PathBuf, Error> {
    let path = RunFolder::checkpoint(run_folder, party);
    match path.exists() {
        true => Ok(path),
        false => Err(Error::configuration(
            path.display(),
            "there is no such file: the run has not finished, or it is another party's folder",
        )),
    }
}

/// W = U + V.
fn add_unrevealed(job: &Job, cut: &Cut, run_folder: &Path, parties: &[&Party], parts: &mut [Network]) -> Result<(), Error> {
    let client = parties.iter().find(|party| job.parties.get(**party) == Some(&Role::Client));
    let Some(client) = client else { return Ok(()) };
    let mut unrevealed = Network::new(&cut.model, cut.server.clone(), job.seed)?;
    unrevealed.load_safetensors(&RunFolder::checkpoint(run_folder, client).with_extension("unrevealed.safetensors"))?;
    for part in parts.iter_mut().filter(|part| part.range() == cut.server) {
        let sums = part.parameters().into_iter().zip(unrevealed.parameters());
        let sums: Vec<(String, ArrayD<f32>)> = sums.map(|((name, u), (_, v))| (name, u + v)).collect();
        part.set_parameters(&sums)?;
    }
    Ok(())
}

/// Python that builds the layers under their numbers and loads the file. An error names a layer that this version cannot write.
fn snippet(model: &ModelSpec, layers: &[usize], file: &Path) -> Result<String, String> {
    let shapes = model.shapes().map_err(|e| e.to_string())?;
    let mut lines = vec![
        "from collections import OrderedDict".to_owned(),
        "import torch.nn as nn".to_owned(),
        "from safetensors.torch import load_file".to_owned(),
        String::new(),
        "model = nn.Sequential(OrderedDict([".to_owned(),
    ];
    for &index in layers {
        // Through its form in a job file, which names every field.
        let layer = serde_json::to_value(&model.layers[index]).map_err(|e| e.to_string())?;
        let module = module(&layer, &shapes[index]);
        let kind = model.layers[index].kind();
        let module = module.ok_or_else(|| format!("layer {index}, {kind}, has no line of PyTorch in this version"))?;
        lines.push(format!("    (\"{index}\", {module}),"));
    }
    lines.push("]))".to_owned());
    lines.push(format!(
        "model.load_state_dict(load_file({}))",
        python_text(&file.display().to_string())
    ));
    lines.push("model.eval()".to_owned());
    Ok(lines.join("\n"))
}

/// A layer in PyTorch, given the shape of a sample before it.
fn module(layer: &Value, input: &[usize]) -> Option<String> {
    let number = |name: &str| layer.get(name).and_then(Value::as_u64);
    let bias = || match layer.get("bias").and_then(Value::as_bool) {
        Some(false) => ", bias=False",
        _ => "",
    };
    let pool = |name: &str| {
        let size = number("size")?;
        Some(format!("nn.{name}({size}, stride={})", number("stride").unwrap_or(size)))
    };
    match layer.get("type")?.as_str()? {
        "dense" => Some(format!("nn.Linear({}, {}{})", input.first()?, number("outputs")?, bias())),
        "conv1d" => Some(format!(
            "nn.Conv1d({}, {}, {}, stride={}, padding={}{})",
            input.first()?,
            number("channels")?,
            number("kernel")?,
            number("stride")?,
            number("padding")?,
            bias()
        )),
        "max-pool1d" => pool("MaxPool1d"),
        "avg-pool1d" => pool("AvgPool1d"),
        "relu" => Some("nn.ReLU()".to_owned()),
        "leaky-relu" => Some(format!("nn.LeakyReLU({})", layer.get("slope")?.as_f64()?)),
        "sigmoid" => Some("nn.Sigmoid()".to_owned()),
        "tanh" => Some("nn.Tanh()".to_owned()),
        "flatten" => Some("nn.Flatten()".to_owned()),
        "dropout" => Some(format!("nn.Dropout({})", layer.get("rate")?.as_f64()?)),
        _ => None,
    }
}

/// A Python string of this text.
fn python_text(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}
