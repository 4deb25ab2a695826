//! A server at work: what the servers set up when they meet, and what it needs of it afterwards.

use cloven_lattice::{
    PublicKey,
    collective::{Collective, CollectiveSettings, CommonReference, EncryptedLayer, PartySecret, SecretLinear},
    linear::LinearShape,
};
use cloven_mpc::{
    Session,
    circuit::Party as Number,
    nonlinear::{self, Layer, Online, Outcome, Preparer, Setup},
};
use cloven_wire::{Channel, Message};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use zeroize::Zeroizing;

use super::{
    Server, Terms,
    mesh::Mesh,
    msg::{ActivationStep, KeyStep, Meeting, ProductStep, TransferStep, WeightStep},
    plan::Plan,
    words,
};
use crate::{
    ProtocolError,
    linear_shape::{encrypted_shape, laid_out},
};

/// What the contexts of everything collective begin with.
const KEY: &[u8] = b"key";

/// A server that has met the others.
pub(super) struct Worker<'a> {
    pub(super) me: usize,
    pub(super) plan: Plan,
    pub(super) ring_bits: u32,
    /// The low `ring_bits` bits.
    pub(super) mask: u64,
    /// This server's weights and biases, of each product.
    pub(super) weights: Vec<(&'a [u64], &'a [u64])>,
    /// The products with encrypted weights.
    layers: Vec<(SecretLinear, EncryptedLayer)>,
    secret: PartySecret,
    public: PublicKey,
    pub(super) preparer: Preparer,
    /// So many inferences are prepared under this collective key; then there is another.
    pub(super) most: u64,
    masks: Zeroizing<[u8; 32]>,
    boxes: Zeroizing<[u8; 32]>,
}

impl<'a> Worker<'a> {
    /// Meets the other servers: everything that is set up is new. `meeting` counts those over these connections, from 0.
    ///
    /// # Errors
    /// [`ProtocolError`], naming the server whose message cannot be, or when this server's share is not for its place in the job.
    pub(super) async fn set_up<C: Channel>(
        me: &Server<'a>,
        terms: &Terms,
        mesh: &mut Mesh<'_, C>,
        meeting: u64,
    ) -> Result<Self, ProtocolError> {
        let holder = me.model.holder();
        if (holder.server, holder.servers) != (mesh.me, mesh.servers()) {
            return Err(ProtocolError::Structure(format!(
                "this is the share of server {} of {}, this server is number {} of {}",
                holder.server,
                holder.servers,
                mesh.me,
                mesh.servers()
            )));
        }
        let plan = Plan::new(me.model.structure(), terms)?;
        let seed = Zeroizing::new([me.secret.as_slice(), &meeting.to_le_bytes()].concat());
        let derive = |purpose| Zeroizing::new(blake3::derive_key(purpose, &seed));
        let shapes: Vec<LinearShape> = plan.products.iter().map(|product| encrypted_shape(product.shape)).collect();
        mesh.name_layers(&plan.layers);
        let settings = CollectiveSettings::new(mesh.servers(), terms.ring_bits);
        let most = inferences(&plan, terms.revealed.min(settings.revealed))?;
        let collective = Collective::new(settings, &shapes)?;
        let secret = PartySecret::new(&collective, &derive("cloven v1 secure inference: collective secret"));
        let weights: Vec<_> = me.model.weights().collect();
        let layouts: Vec<Zeroizing<Vec<u64>>> = plan
            .products
            .iter()
            .zip(&weights)
            .map(|(product, (weight, _))| laid_out(product.shape, weight))
            .collect();

        // The common string is of all servers, and of the weights that are encrypted under it.
        let all: Vec<u64> = layouts.iter().flat_map(|weights| weights.iter().copied()).collect();
        let nonce = secret.contribution(&[KEY, &terms.job].concat(), &all);
        let nonces = mesh
            .meet(Meeting {
                model: holder.model,
                nonce,
            })
            .await?;
        let reference = CommonReference::joint(&nonces);
        let context = blake3::hash(&nonces.concat());
        let public = public_key(&collective, &secret, &reference, mesh).await?;
        let mut layers = Vec::with_capacity(shapes.len());
        for (number, (shape, weights)) in shapes.iter().zip(&layouts).enumerate() {
            let linear = collective.linear(*shape)?;
            let encrypted = encrypted_weights(&linear, number, weights, (&secret, &reference), mesh).await?;
            layers.push((linear, encrypted));
        }
        let transfers = derive("cloven v1 secure inference: transfers");
        let session = Session::new(&cloven_mpc::PartySecret::new(*transfers), context.as_bytes());
        let setup = Setup::start(&session, (Number(mesh.me as u8), mesh.servers()))?;
        let preparer = mesh.run::<TransferStep, _>(setup).await?;
        Ok(Self {
            me: mesh.me,
            plan,
            ring_bits: terms.ring_bits,
            mask: words::mask(terms.ring_bits),
            weights,
            layers,
            secret,
            public,
            preparer,
            most,
            masks: derive("cloven v1 secure inference: masks"),
            boxes: derive("cloven v1 secure inference: boxes"),
        })
    }

    /// Randomness for boxes; asked for once.
    pub(super) fn box_randomness(&self) -> ChaCha20Rng {
        ChaCha20Rng::from_seed(*self.boxes)
    }

    /// This server's share of the mask of opened value `opened` of inference `number`: uniform, and for nothing else.
    pub(super) fn value_mask(&self, number: u64, opened: usize) -> Zeroizing<Vec<u64>> {
        let mut hasher = blake3::Hasher::new_keyed(&self.masks);
        hasher.update(&number.to_le_bytes()).update(&(opened as u64).to_le_bytes());
        let mut bytes = Zeroizing::new(vec![0; 8 * self.plan.opened[opened]]);
        hasher.finalize_xof().fill(&mut bytes);
        let words = bytes.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes) & self.mask);
        Zeroizing::new(words.collect())
    }

    /// This server's share of the weights of product `place` times the sum of all servers' `mask`, for inference `number`.
    pub(super) async fn masked_product<C: Channel>(
        &self,
        mesh: &mut Mesh<'_, C>,
        number: u64,
        place: usize,
        mask: &[u64],
    ) -> Result<Zeroizing<Vec<u64>>, ProtocolError> {
        let (linear, encrypted) = &self.layers[place];
        let context = [number.to_le_bytes(), (place as u64).to_le_bytes()].concat();
        let response = linear.respond(encrypted, mask, &self.public, &self.secret, &context)?;
        let Some(responses) = mesh.gather::<ProductStep>(response, linear.response_len()).await? else {
            let query = mesh.spread::<ProductStep>(None, linear.query_len()).await?;
            let shares = linear
                .to_shares(&query, &self.secret, &context)
                .map_err(|cause| mesh.of_gateway(ProductStep::NAME, cause))?;
            mesh.answer::<ProductStep>(shares.message).await?;
            return Ok(Zeroizing::new(shares.share));
        };
        let sums = linear.sum(&responses).map_err(|cause| {
            mesh.culprit(
                (ProductStep::NAME, 0),
                &responses,
                |bytes| linear.check_response(bytes),
                cause,
            )
        })?;
        mesh.spread::<ProductStep>(Some(linear.query(&sums)?), 0).await?;
        let answers = mesh.collect::<ProductStep>(linear.answer_len()).await?;
        let share = linear
            .last_share(&sums, &self.secret, &answers)
            .map_err(|cause| mesh.culprit((ProductStep::NAME, 1), &answers, |bytes| linear.check_answer(bytes), cause))?;
        Ok(Zeroizing::new(share))
    }

    /// Evaluates a layer on this server's shares of its words.
    pub(super) async fn evaluate<C: Channel>(
        &self,
        layer: &Layer,
        chunks: Vec<nonlinear::Prepared>,
        shares: &[u64],
        masks: &[u64],
        mesh: &mut Mesh<'_, C>,
    ) -> Result<Vec<u64>, ProtocolError> {
        let online = Online::start(layer, Number(self.me as u8), chunks, shares, masks)?;
        Ok(match mesh.run::<ActivationStep, _>(online).await? {
            Outcome::Opened(words) => words,
            Outcome::Shares(words) => words.to_vec(),
        })
    }
}

/// How many inferences decrypt at most `revealed` numbers.
fn inferences(plan: &Plan, revealed: u64) -> Result<u64, ProtocolError> {
    let each = plan.revealed().max(1);
    match revealed / each {
        0 => Err(ProtocolError::Structure(format!(
            "an inference decrypts {each} numbers, and one key serves for {revealed} at most"
        ))),
        most => Ok(most),
    }
}

/// The collective key, which every server has a share of.
async fn public_key<C: Channel>(
    collective: &Collective,
    secret: &PartySecret,
    reference: &CommonReference,
    mesh: &mut Mesh<'_, C>,
) -> Result<PublicKey, ProtocolError> {
    let share = collective.public_key_share(secret, reference, KEY)?;
    let shares = mesh.broadcast::<KeyStep>(share).await?;
    let key = collective.public_key(reference, KEY, &shares);
    key.map_err(|cause| mesh.culprit((KeyStep::NAME, 0), &shares, |bytes| collective.check_share(bytes), cause))
}

/// The weights of product `number` under the collective key, ciphertext by ciphertext.
async fn encrypted_weights<C: Channel>(
    linear: &SecretLinear,
    number: usize,
    weights: &[u64],
    (secret, reference): (&PartySecret, &CommonReference),
    mesh: &mut Mesh<'_, C>,
) -> Result<EncryptedLayer, ProtocolError> {
    let context = [b"weights".as_slice(), &(number as u64).to_le_bytes()].concat();
    let mut loader = linear.loader(reference, &context);
    for index in 0..linear.ciphertexts() {
        let share = linear.share(index, weights, secret, reference, &context)?;
        let sum = match mesh.gather::<WeightStep>(share, linear.share_len()).await? {
            Some(shares) => {
                let sum = linear.aggregate(&shares);
                let check = |bytes: &[u8]| linear.check_share(bytes);
                Some(sum.map_err(|cause| mesh.culprit((WeightStep::NAME, 0), &shares, check, cause))?)
            }
            None => None,
        };
        let sum = mesh.spread::<WeightStep>(sum, linear.share_len()).await?;
        loader.push(&sum).map_err(|cause| mesh.of_gateway(WeightStep::NAME, cause))?;
    }
    Ok(loader.finish()?)
}
