//! A party's trained layers, from the run folder.

use std::path::Path;

use cloven_nn::{Network, Weights};
use cloven_protocols::encrypted_model::{HeldLayers, LayerEncryption, LayerKey, ProductKey, ProductLayer};
use cloven_wire::Party;

use zeroize::Zeroizing;

use crate::{
    Error, Job, Role, RunFolder,
    encrypted_layer::{self, KeptKey},
    first_layer,
    job::{Mode, Protocol, Samples},
};

/// The layers of one party as training left them.
pub(super) enum Layers {
    Client {
        front: Box<Network>,
        /// `encrypted-activation`, mode sealed: what the client had not revealed of the server's layer.
        unrevealed: Option<Box<Network>>,
        tail: Box<Network>,
    },
    Server(Box<Network>),
    /// `vertical`.
    Holder {
        /// Of the first layer; none without columns.
        shares: Zeroizing<Vec<u8>>,
        /// The label holder's.
        tail: Option<Box<Network>>,
    },
    /// `vertical`: it has no layers.
    Dealer,
    /// `enclave`: the whole network, at the client.
    Customer(Box<Network>),
    /// `enclave`: it gets the network from the client.
    Enclave,
    /// `enclave`: it has no layers.
    Worker,
    /// `encrypted-model`.
    KeyHolder {
        tail: Box<Network>,
        key: Box<LayerKey>,
        inner: Vec<ProductKey>,
        factor: f64,
    },
    /// `encrypted-model`.
    Encrypted {
        encryption: Box<LayerEncryption>,
        inner: Vec<ProductLayer>,
        held: HeldLayers,
    },
    /// `encrypted-model` with encrypted samples.
    ProductKeyHolder {
        network: Box<Network>,
        keys: Vec<ProductKey>,
    },
    /// `encrypted-model` with encrypted samples.
    EncryptedProduct {
        layers: Vec<ProductLayer>,
        held: HeldLayers,
    },
}

impl Layers {
    /// Reads the weights that `party` keeps in `run_folder`; they must be of this job.
    pub(super) fn load(job: &Job, party: &Party, run_folder: &Path) -> Result<Self, Error> {
        let cut = job.cut()?;
        let network = |layers| Network::new(&cut.model, layers, job.seed);
        let path = RunFolder::checkpoint(run_folder, party);
        if job.protocol == Protocol::EncryptedModel && job.samples() == Samples::Encrypted {
            return Self::load_product(job, party, run_folder, job.client_network(&cut)?);
        }
        if job.protocol == Protocol::EncryptedModel {
            return Self::load_encrypted(job, party, run_folder, job.client_network(&cut)?);
        }
        match job.role(party)? {
            // Kept out before.
            Role::Dealer | Role::Coordinator => return Ok(Self::Dealer),
            Role::Worker => return Ok(Self::Worker),
            Role::Server if job.protocol == Protocol::Enclave => return Ok(Self::Enclave),
            Role::Client if job.protocol == Protocol::Enclave => {
                let mut whole = network(cut.server)?;
                give(job, party, &path, &mut [&mut whole])?;
                return Ok(Self::Customer(Box::new(whole)));
            }
            role @ (Role::Holder | Role::LabelHolder) => {
                let tail = network(cut.server.end..cut.model.layers.len())?;
                return Self::load_holder(job, (party, role), run_folder, tail);
            }
            Role::Server | Role::Client => (),
        }
        if job.role(party)? == Role::Server {
            let mut layers = network(cut.server.clone())?;
            give(job, party, &path, &mut [&mut layers])?;
            return Ok(Self::Server(Box::new(layers)));
        }
        let mut front = network(0..cut.server.start)?;
        let mut tail = network(cut.server.end..cut.model.layers.len())?;
        give(job, party, &path, &mut [&mut front, &mut tail])?;
        let sealed = job.protocol == Protocol::EncryptedActivation && job.mode() == Mode::Sealed;
        let unrevealed = match sealed {
            false => None,
            true => {
                let mut unrevealed = network(cut.server.clone())?;
                give(job, party, &RunFolder::unrevealed(run_folder, party), &mut [&mut unrevealed])?;
                Some(Box::new(unrevealed))
            }
        };
        Ok(Self::Client {
            front: Box::new(front),
            unrevealed,
            tail: Box::new(tail),
        })
    }
}

impl Layers {
    fn load_holder(job: &Job, (party, role): (&Party, Role), run_folder: &Path, mut tail: Network) -> Result<Self, Error> {
        let shares = match job.data.columns.contains_key(party) {
            false => Zeroizing::default(),
            true => {
                let path = RunFolder::first_layer(run_folder, party);
                must_exist(&path, party)?;
                first_layer::read(&path, job)?
            }
        };
        if role == Role::Holder {
            return Ok(Self::Holder { shares, tail: None });
        }
        give(job, party, &RunFolder::checkpoint(run_folder, party), &mut [&mut tail])?;
        Ok(Self::Holder {
            shares,
            tail: Some(Box::new(tail)),
        })
    }

    fn load_product(job: &Job, party: &Party, run_folder: &Path, mut network: Network) -> Result<Self, Error> {
        if job.role(party)? == Role::Server {
            let path = RunFolder::encrypted_layer(run_folder, party);
            must_exist(&path, party)?;
            let (layers, held) = (job.product_layers()?, encrypted_layer::read(&path, job)?);
            return Ok(Self::EncryptedProduct { layers, held });
        }
        let path = RunFolder::checkpoint(run_folder, party);
        give(job, party, &path, &mut [&mut network])?;
        let path = RunFolder::encryption_key(run_folder, party);
        must_exist(&path, party)?;
        Ok(Self::ProductKeyHolder {
            network: Box::new(network),
            keys: job.product_keys(&KeptKey::read(&path, job)?.secret)?,
        })
    }

    fn load_encrypted(job: &Job, party: &Party, run_folder: &Path, mut tail: Network) -> Result<Self, Error> {
        if job.role(party)? == Role::Server {
            let encryption = Box::new(job.layer_encryption()?);
            let path = RunFolder::encrypted_layer(run_folder, party);
            must_exist(&path, party)?;
            let (inner, held) = (job.product_layers()?, encrypted_layer::read(&path, job)?);
            return Ok(Self::Encrypted { encryption, inner, held });
        }
        give(job, party, &RunFolder::checkpoint(run_folder, party), &mut [&mut tail])?;
        let path = RunFolder::encryption_key(run_folder, party);
        must_exist(&path, party)?;
        let kept = KeptKey::read(&path, job)?;
        Ok(Self::KeyHolder {
            tail: Box::new(tail),
            key: Box::new(kept.key(job)?),
            inner: job.product_keys(&kept.secret)?,
            factor: kept.factor,
        })
    }
}

/// An error that says where the file is to be had.
fn must_exist(path: &Path, party: &Party) -> Result<(), Error> {
    if path.exists() {
        return Ok(());
    }
    let problem = format!(
        "no such file; it holds trained weights of {party} and is in the run folder of the run that trained them, on {party}'s machine"
    );
    Err(Error::configuration(path.display(), problem))
}

fn give(job: &Job, party: &Party, path: &Path, parts: &mut [&mut Network]) -> Result<(), Error> {
    must_exist(path, party)?;
    let views: Vec<&Network> = parts.iter().map(|part| &**part).collect();
    let weights = Weights::read(path, &views)?;
    match weights.metadata().get("job") {
        Some(digest) if *digest == job.digest_hex() => Ok(weights.give(parts)?),
        Some(other) => Err(Error::OtherJob {
            path: path.to_owned(),
            expected: job.digest_hex(),
            got: other.escape_debug().to_string(),
        }),
        None => Err(Error::configuration(
            path.display(),
            "it does not say which job these weights are of",
        )),
    }
}
