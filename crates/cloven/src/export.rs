//! `cloven export`: trained weights of a run folder as one file that PyTorch loads.

mod pytorch;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use cloven_nn::{ModelError, Network, Weights, save_safetensors};
use cloven_protocols::vertical;
use cloven_wire::Party;
use ndarray::{ArrayD, Dimension};
use serde::Serialize;

use crate::{
    Error, Job, Role, RunFolder,
    encrypted_layer::{self, KeptKey},
    first_layer,
    job::{Cut, Mode, Protocol, Samples},
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
    /// Python that builds these layers and loads the file.
    pub snippet: String,
}

/// Whose weights to write.
#[derive(Debug, Clone, Copy)]
pub enum Layers<'a> {
    /// One party's own.
    Of(&'a Party),
    /// The whole model: the server's and those of the client that is named, or of the only one. Under `encrypted-activation` the server's
    /// layer is what the server holds plus what the client has not revealed; under `vertical` the first layer is put together from the shares of all
    /// holders, and takes their columns, as preprocessed, in the order of the holders' names.
    Whole(Option<&'a Party>),
}

/// Writes trained weights as safetensors with PyTorch's names.
///
/// # Errors
/// [`Error::Configuration`] for a folder without the checkpoints needed, or several clients of which none is named; [`Error::Model`] for a
/// checkpoint that does not fit the job, or an output that cannot be written.
pub fn export(run_folder: &Path, chosen: Layers<'_>, output: &Path) -> Result<Exported, Error> {
    let job = Job::read(&run_folder.join("job.toml"), &[])?;
    let cut = job.cut()?;
    let end = cut.model.layers.len();
    let (encrypted, enclave) = (job.protocol == Protocol::EncryptedModel, job.protocol == Protocol::Enclave);
    let clients_from = match (encrypted, job.samples()) {
        (true, Samples::Clear) => job.first_encrypted(&cut)?.end,
        _ => 0,
    };
    let own = |role: Role| match role {
        // Ciphertexts: added below, where the key is.
        Role::Server if encrypted => Vec::new(),
        Role::Server | Role::Worker if enclave => Vec::new(),
        Role::Client if enclave => std::iter::once(0..end).collect(),
        Role::Server => vec![cut.server.clone()],
        Role::Client if encrypted => std::iter::once(clients_from..end).collect(),
        Role::Client => vec![0..cut.server.start, cut.server.end..end],
        Role::LabelHolder => std::iter::once(cut.server.end..end).collect(),
        Role::Holder | Role::Dealer | Role::Coordinator | Role::Worker => Vec::new(),
    };
    let parties: Vec<&Party> = match chosen {
        Layers::Of(party) => vec![party],
        Layers::Whole(client) if job.protocol == Protocol::Vertical => all_of_vertical(&job, client, run_folder)?,
        Layers::Whole(client) => client_and_server(&job, client, run_folder)?,
    };
    let mut parts = Vec::new();
    for party in &parties {
        let ranges = own(job.role(party)?);
        if ranges.is_empty() {
            if let Layers::Of(_) = chosen {
                return Err(Error::configuration("--as", nothing_readable(&job, party)));
            }
            continue;
        }
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
    let whole = matches!(chosen, Layers::Whole(_));
    if whole && job.protocol == Protocol::EncryptedActivation && job.mode() == Mode::Sealed {
        add_unrevealed(&job, &cut, run_folder, &parties, &mut parts)?;
    }
    if whole && encrypted && job.samples() == Samples::Clear {
        parts.insert(0, decrypted(&job, &cut, run_folder, &parties)?);
    }
    if whole && job.protocol == Protocol::Vertical {
        parts.insert(0, first_of_vertical(&job, &cut, run_folder)?);
    }
    save_safetensors(output, &parts, HashMap::from([("job".to_owned(), job.digest_hex())]))?;
    let layers: Vec<usize> = parts.iter().flat_map(Network::range).collect();
    let snippet = pytorch::snippet(&cut.model, &layers, output)?;
    Ok(Exported {
        path: output.to_owned(),
        parties: parties.into_iter().cloned().collect(),
        parameters: parts.iter().flat_map(Network::parameters).map(|(_, value)| value.len()).sum(),
        layers,
        snippet,
    })
}

/// Why a party has no weights that can be read.
fn nothing_readable(job: &Job, party: &Party) -> String {
    match job.parties.get(party) {
        Some(Role::Holder) => format!(
            "{party} has shares of the first layer only (checkpoints/{party}.first-layer-share), random numbers without those of all other holders: \
             nothing to export; the label holder and the server export their layers, and the whole model is exported where all holders' shares are"
        ),
        Some(role @ (Role::Dealer | Role::Coordinator)) => format!("{party} is the {} and has no weights", role.name()),
        Some(Role::Worker) => format!("{party} is a worker and has no weights"),
        Some(Role::Server) if job.protocol == Protocol::Enclave => {
            format!("{party} keeps no weights: the client has all of them")
        }
        _ => format!("{party} holds ciphertexts only; the whole model is exported where the client's key is"),
    }
}

/// Everybody who has a part of a vertical model, if the folder has the parts of all.
fn all_of_vertical<'a>(job: &'a Job, client: Option<&Party>, run_folder: &Path) -> Result<Vec<&'a Party>, Error> {
    if client.is_some() {
        return Err(Error::configuration("--client", "protocol vertical has no clients"));
    }
    let with = |roles: [Role; 2]| {
        let parties = job.parties.iter().filter(move |(_, role)| roles.contains(role));
        parties.map(|(party, _)| party)
    };
    let layers = with([Role::LabelHolder, Role::Server]).map(|party| (party, RunFolder::checkpoint(run_folder, party)));
    let shares = job
        .data
        .columns
        .keys()
        .map(|party| (party, RunFolder::first_layer(run_folder, party)));
    let missing = layers.chain(shares).filter(|(_, path)| !path.exists());
    let mut missing: Vec<&str> = missing.map(|(party, _)| party.as_str()).collect();
    missing.dedup();
    if missing.is_empty() {
        return Ok(with([Role::LabelHolder, Role::Server])
            .chain(with([Role::Holder, Role::Holder]))
            .collect());
    }
    let problem = format!(
        "the whole model needs the shares of all holders and the layers of label holder and server, those of {} are not here; export one party's with --as",
        missing.join(" and ")
    );
    Err(Error::configuration(run_folder.display(), problem))
}

/// The first layer of a vertical model, from all holders' shares.
fn first_of_vertical(job: &Job, cut: &Cut, run_folder: &Path) -> Result<Network, Error> {
    let shares = job
        .data
        .columns
        .keys()
        .map(|holder| first_layer::read(&RunFolder::first_layer(run_folder, holder), job));
    let shares = shares.collect::<Result<Vec<_>, Error>>()?;
    let shares: Vec<&[u8]> = shares.iter().map(|share| share.as_slice()).collect();
    let weights = vertical::combined_weights(&job.vertical_terms()?, &shares);
    let weights = weights.map_err(|cause| Error::configuration(run_folder.display(), cause))?;
    let features = weights.nrows() - 1;
    let mut first = Network::new(&cut.model, 0..cut.server.start, job.seed)?;
    let values = first.parameters().into_iter().map(|(name, value)| {
        // A dense layer's weight is `[outputs, columns]`.
        let of = |at: &[usize]| match at {
            [output, column] => weights[[*column, *output]],
            _ => weights[[features, at.first().copied().unwrap_or(0)]],
        };
        let value = ArrayD::from_shape_fn(value.raw_dim(), |at| of(at.slice()) as f32);
        (name, value)
    });
    let values: Vec<(String, ArrayD<f32>)> = values.collect();
    first.set_parameters(&values)?;
    Ok(first)
}

/// The server and a client, if the folder has the weights of both.
fn client_and_server<'a>(job: &'a Job, named: Option<&Party>, run_folder: &Path) -> Result<Vec<&'a Party>, Error> {
    let clients: Vec<&Party> = job.clients().collect();
    let names = || clients.iter().map(|party| party.as_str()).collect::<Vec<_>>().join(", ");
    let wrong = |problem: String| Err(Error::configuration("--client", problem));
    let client = match (named, &clients[..]) {
        (Some(named), clients) => match clients.iter().find(|client| **client == named) {
            Some(client) => *client,
            None => return wrong(format!("{named} is no client of the job, which has {}", names())),
        },
        (None, [only]) => only,
        (None, _) => {
            return wrong(format!(
                "each client has layers of its own: say whose the model is to have, of {}",
                names()
            ));
        }
    };
    let server = job
        .parties
        .iter()
        .filter(|(_, role)| **role == Role::Server)
        .map(|(party, _)| party);
    // Of encrypted samples, and of an enclave, the client has the whole network in the clear.
    let parties: Vec<&Party> = match job.samples() {
        _ if job.protocol == Protocol::Enclave => vec![client],
        Samples::Clear => server.chain([client]).collect(),
        Samples::Encrypted => vec![client],
    };
    let missing = parties.iter().filter(|party| !trained_file(job, run_folder, party).exists());
    let missing: Vec<&str> = missing.map(|party| party.as_str()).collect();
    if missing.is_empty() {
        return Ok(parties);
    }
    let problem = format!(
        "the whole model needs the weights of client and server, those of {} are not here; export one party's with --as",
        missing.join(" and ")
    );
    Err(Error::configuration(run_folder.display(), problem))
}

/// Where a party's trained layers are.
fn trained_file(job: &Job, run_folder: &Path, party: &Party) -> PathBuf {
    match (job.protocol, job.parties.get(party)) {
        (Protocol::EncryptedModel, Some(Role::Server)) => RunFolder::encrypted_layer(run_folder, party),
        _ => RunFolder::checkpoint(run_folder, party),
    }
}

/// The server's layer of `encrypted-model`, decrypted with the client's key.
fn decrypted(job: &Job, cut: &Cut, run_folder: &Path, parties: &[&Party]) -> Result<Network, Error> {
    let of = |role| parties.iter().find(|party| job.parties.get(**party) == Some(&role));
    let (Some(client), Some(server)) = (of(Role::Client), of(Role::Server)) else {
        return Err(Error::configuration("parties", "the job has no client or no server"));
    };
    let kept = KeptKey::read(&RunFolder::encryption_key(run_folder, client), job)?;
    let path = RunFolder::encrypted_layer(run_folder, server);
    let (held, key) = (encrypted_layer::read(&path, job)?, kept.key(job)?);
    if held.key != key.fingerprint() {
        let problem = format!(
            "it is encrypted under key {}, that of {client} is {}",
            held.key,
            key.fingerprint()
        );
        return Err(Error::configuration(path.display(), problem));
    }
    let mut layer = Network::new(&cut.model, job.first_encrypted(cut)?, job.seed)?;
    let decrypted = key.decrypt_layer(&held.weights[0], kept.factor, &mut layer);
    decrypted.map_err(|cause| Error::configuration(path.display(), cause))?;
    Ok(layer)
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
    unrevealed.load_safetensors(&RunFolder::unrevealed(run_folder, client))?;
    for part in parts.iter_mut().filter(|part| part.range() == cut.server) {
        let sums = part.parameters().into_iter().zip(unrevealed.parameters());
        let sums: Vec<(String, ArrayD<f32>)> = sums.map(|((name, u), (_, v))| (name, u + v)).collect();
        part.set_parameters(&sums)?;
    }
    Ok(())
}
