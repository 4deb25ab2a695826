//! A holder's part of the first layer: its columns, and its shares of everybody's weights.

use cloven_mpc::{
    PartySecret, Session,
    circuit::Party as Number,
    shares::{FixedPoint, Matrix, PairwiseSetup, ZeroShares},
};
use cloven_wire::Channel;
use ndarray::{Array2, s};
use rand::Rng;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use zeroize::Zeroizing;

use super::{activation::Activation, gradient_share, noise_of, normal};
use crate::{
    CheckpointError, Position, ProtocolError,
    vertical::{
        Columns, Gradient, Terms,
        msg::{MaskedGradient, OpenGradient, OutputShare, Seed},
        peers::Peers,
        products::{Direction, Products, Step},
        scales,
    },
};

/// Rows of one step of the products that are computed once (`gradient = "open"`).
pub(in crate::vertical) const STRIP: usize = 4096;

/// A holder's part of the first layer on shares.
pub(in crate::vertical) struct Shared<'a> {
    place: usize,
    terms: &'a Terms,
    /// All rows of the own columns: training, then test.
    x: Matrix,
    /// [theta_i] of every holder i, `[columns, width]`.
    shares: Vec<Matrix>,
    /// [b], `[1, width]`: nobody's columns multiply it.
    bias: Matrix,
    session: Session,
    secret: Zeroizing<[u8; 32]>,
    train_rows: usize,
    /// From `begin` on.
    joint: Option<Joint>,
}

/// What holders compute with together.
struct Joint {
    /// The server's seed for this holder.
    session: Zeroizing<[u8; 32]>,
    /// Of this holder's secret, all fellows' halves of seeds, and the server's seed, in which all parties have a part: when one of them begins anew, weights are
    /// others, and no noise or mask serves for both.
    secret: Zeroizing<[u8; 32]>,
    /// A digest of that and of the dealer's half.
    fingerprint: [u8; 32],
    zeros: ZeroShares,
    products: Products,
    /// Shares of this holder of the products with weights that do not change, for all rows: `gradient = "open"`.
    constant: Option<Matrix>,
    activation: Option<Activation>,
}

impl<'a> Shared<'a> {
    /// # Errors
    /// [`ProtocolError::Alignment`] for another number of columns than the job says; [`ProtocolError::Computation`] for a number that is too large.
    pub(super) fn new(place: usize, terms: &'a Terms, columns: &Columns, secret: &[u8; 32]) -> Result<Self, ProtocolError> {
        let x = encode(place, terms, columns)?;
        let session = Session::new(&PartySecret::new(*secret), &[b"vertical".as_slice(), &terms.job].concat());
        let (shares, bias) = match &terms.public_weights {
            Some(weights) => public_shares(place, terms, weights)?,
            None => secret_shares(terms, secret)?,
        };
        Ok(Self {
            place,
            terms,
            x,
            shares,
            bias,
            session,
            secret: Zeroizing::new(*secret),
            train_rows: columns.train.nrows(),
            joint: None,
        })
    }

    /// Before the first batch: seeds, and what the products need.
    pub(super) async fn begin<C: Channel>(
        &mut self,
        from: Position,
        session: &[u8; 32],
        peers: &mut Peers<'_, C>,
    ) -> Result<(), ProtocolError> {
        let number = Number(self.place as u8);
        let (setup, halves) = PairwiseSetup::start(&self.session.child(b"seeds"), number, self.terms.columns.len())?;
        let halves = halves.into_iter().map(Seed).collect();
        let received = peers.exchange(0, halves, &vec![(); peers.fellows.len()]).await?;
        let received: Vec<_> = received.iter().map(|Seed(half)| half.as_slice()).collect();
        let mut hasher = blake3::Hasher::new_keyed(&self.secret);
        hasher.update(session);
        received.iter().for_each(|half| {
            hasher.update(half);
        });
        let secret = Zeroizing::new(*hasher.finalize().as_bytes());
        let zeros = setup.finish(&received)?.zero_shares("shares of outputs")?;
        let rows = [self.train_rows, self.x.rows() - self.train_rows];
        let products = Products::begin(self.place, self.terms, &secret, &self.x, rows, peers).await?;
        let activation = match self.terms.private_activation {
            // Transfers are counted from here on.
            true => {
                let context = format!("vertical activation from epoch {}, batch {}", from.epoch, from.batch);
                let session = Session::new(&PartySecret::new(*secret), &[context.as_bytes(), &self.terms.job].concat());
                Some(Activation::begin(self.place, self.terms.activation_circuit, &session, peers).await?)
            }
            false => None,
        };
        let mut hasher = blake3::Hasher::new_derive_key("cloven v1 vertical: fingerprint of a session");
        hasher.update(&secret[..]).update(&products.dealer_half());
        self.joint = Some(Joint {
            session: Zeroizing::new(*session),
            fingerprint: *hasher.finalize().as_bytes(),
            secret,
            zeros,
            products,
            constant: None,
            activation,
        });
        if self.terms.gradient == Gradient::Open {
            self.multiply_once(peers).await?;
        }
        Ok(())
    }

    /// The products with the others' weight shares, which only their owner's steps could change.
    async fn multiply_once<C: Channel>(&mut self, peers: &mut Peers<'_, C>) -> Result<(), ProtocolError> {
        let rows: Vec<usize> = (0..self.x.rows()).collect();
        let mut words = Vec::with_capacity(rows.len() * self.terms.width);
        for (strip, rows) in rows.chunks(STRIP).enumerate() {
            let step = Step {
                once: true,
                direction: Direction::Forward,
                round: strip as u64,
            };
            let x = self.x.select(rows)?;
            words.extend_from_slice(self.cross_outputs(peers, step, rows, &x, None).await?.words());
        }
        let constant = Matrix::new(rows.len(), self.terms.width, words)?;
        self.joint.as_mut().ok_or_else(not_begun)?.constant = Some(constant);
        Ok(())
    }

    /// Steps 0, 1 and 2.
    pub(super) async fn send_outputs<C: Channel>(
        &mut self,
        peers: &mut Peers<'_, C>,
        round: u64,
        rows: &[usize],
        training: bool,
    ) -> Result<(), ProtocolError> {
        let share = self.outputs(peers, round, rows, training).await?;
        match &mut self.joint.as_mut().ok_or_else(not_begun)?.activation {
            Some(activation) => activation.reveal(peers, round, share.words()).await,
            None => Ok(peers.server.send(round, &OutputShare::of(&share)).await?),
        }
    }

    /// This holder's share of h1 of a batch.
    async fn outputs<C: Channel>(
        &mut self,
        peers: &mut Peers<'_, C>,
        round: u64,
        rows: &[usize],
        training: bool,
    ) -> Result<Matrix, ProtocolError> {
        let x = self.x.select(rows)?;
        let mut share = x.times(&self.shares[self.place])?;
        let constant = self.joint.as_ref().and_then(|joint| joint.constant.as_ref());
        let crossed = match constant {
            Some(constant) => constant.select(rows)?,
            None => {
                let joint = self.joint.as_ref().ok_or_else(not_begun)?;
                let share = training.then(|| gradient_share(&joint.session, round, rows.len(), self.terms.width));
                let step = Step::of_batch(Direction::Forward, round);
                self.cross_outputs(peers, step, rows, &x, share.transpose()?.as_ref()).await?
            }
        };
        share.add_assign(&crossed)?;
        let bias = self.bias.words().iter().map(|word| word << scales::COLUMNS);
        for row in share.words_mut().chunks_exact_mut(self.terms.width) {
            let pairs = row.iter_mut().zip(bias.clone());
            pairs.for_each(|(output, bias)| *output = output.wrapping_add(bias));
        }
        let joint = self.joint.as_mut().ok_or_else(not_begun)?;
        share.add_assign(&joint.zeros.share(round, rows.len(), self.terms.width)?)?;
        blur(&mut share, &mut noise_of("outputs", &joint.secret, round));
        Ok(share)
    }

    /// This holder's shares of what all holders' columns and the others' weight shares of them give. `gradient` is its share of the one to come, if one does.
    async fn cross_outputs<C: Channel>(
        &mut self,
        peers: &mut Peers<'_, C>,
        step: Step,
        rows: &[usize],
        x: &Matrix,
        gradient: Option<&Matrix>,
    ) -> Result<Matrix, ProtocolError> {
        let joint = self.joint.as_mut().ok_or_else(not_begun)?;
        let operands: Vec<&Matrix> = peers.fellows.iter().map(|fellow| &self.shares[fellow.place]).collect();
        let crossed = joint.products.forward(peers, step, rows, x, operands, gradient).await?;
        let mut sum = Matrix::zeros(rows.len(), self.terms.width)?;
        for part in crossed.own.iter().chain(&crossed.theirs) {
            sum.add_assign(part)?;
        }
        Ok(sum)
    }

    /// Step 6: the update by the gradient of a batch.
    pub(super) async fn step<C: Channel>(
        &mut self,
        peers: &mut Peers<'_, C>,
        (round, update): (u64, u64),
        rows: &[usize],
    ) -> Result<(), ProtocolError> {
        let width = self.terms.width;
        let bytes = 8 * rows.len() * width;
        // What all have alike, and the own share.
        let (mut delta, share) = match self.terms.gradient {
            Gradient::Open => {
                let OpenGradient(delta) = peers.server.receive(round, &bytes).await?;
                (Matrix::decode(rows.len(), width, &delta)?, None)
            }
            Gradient::Shared => {
                let MaskedGradient(masked) = peers.server.receive(round, &bytes).await?;
                let joint = self.joint.as_ref().ok_or_else(not_begun)?;
                let share = gradient_share(&joint.session, round, rows.len(), width)?;
                (Matrix::decode(rows.len(), width, &masked)?, Some(share))
            }
        };
        share.iter().try_for_each(|share| delta.add_assign(share))?;
        let x = self.x.select(rows)?;
        self.shares[self.place].sub_assign(&x.transposed_times(&delta)?)?;
        // What all have alike counts once.
        let of_bias = if self.place == 0 { Some(&delta) } else { share.as_ref() };
        for row in of_bias.iter().flat_map(|delta| delta.words().chunks_exact(width)) {
            let pairs = self.bias.words_mut().iter_mut().zip(row);
            pairs.for_each(|(bias, delta)| *bias = bias.wrapping_sub(delta << scales::COLUMNS));
        }
        if self.terms.multiplies_each_batch() {
            let crossed = self.joint.as_mut().ok_or_else(not_begun)?.products.backward(round)?;
            for part in &crossed.own {
                self.shares[self.place].sub_assign(part)?;
            }
            for (fellow, part) in peers.fellows.iter().zip(&crossed.theirs) {
                self.shares[fellow.place].sub_assign(part)?;
            }
        }
        self.add_noise(update)
    }

    fn changes_bias(&self) -> bool {
        self.place == 0 || self.terms.multiplies_each_batch()
    }

    /// SGLD's: to every share that changes, fresh and known to this holder alone.
    fn add_noise(&mut self, update: u64) -> Result<(), ProtocolError> {
        let deviation = self.terms.noise_deviation(update);
        if deviation == 0.0 {
            return Ok(());
        }
        let secret = &self.joint.as_ref().ok_or_else(not_begun)?.secret;
        let mut rng = noise_of("an update", secret, update);
        let point = FixedPoint::new(scales::WEIGHTS)?;
        let (all, bias) = (self.terms.multiplies_each_batch(), self.changes_bias());
        let shares = self.shares.iter_mut().enumerate();
        let changing = shares
            .filter(|(place, _)| all || *place == self.place)
            .map(|(_, share)| share);
        for share in changing.chain(bias.then_some(&mut self.bias)) {
            let noise: Vec<f64> = (0..share.words().len()).map(|_| normal(&mut rng) * deviation).collect();
            share.add_assign(&point.encode(share.rows(), share.columns(), &noise)?)?;
        }
        Ok(())
    }

    pub(super) fn session(&self) -> [u8; 32] {
        self.joint.as_ref().map(|joint| joint.fingerprint).unwrap_or_default()
    }

    /// All shares, one matrix after the other; that of the bias after the first holder's.
    pub(super) fn shares(&self) -> Vec<u8> {
        let (first, others) = self.shares.split_at(1);
        let all = first.iter().chain([&self.bias]).chain(others);
        all.flat_map(Matrix::encode).collect()
    }

    pub(super) fn restore(&mut self, mut bytes: &[u8]) -> Result<(), ProtocolError> {
        let (first, others) = self.shares.split_at_mut(1);
        let all = || first.iter().chain([&self.bias]).chain(others.iter());
        let whole = 8 * all().map(|share| share.words().len()).sum::<usize>();
        if bytes.len() != whole {
            let why = format!("expected {whole} bytes of weight shares, got {}", bytes.len());
            return Err(CheckpointError { why }.into());
        }
        for share in first.iter_mut().chain([&mut self.bias]).chain(others) {
            let (own, rest) = bytes.split_at(8 * share.words().len());
            *share = Matrix::decode(share.rows(), share.columns(), own)?;
            bytes = rest;
        }
        Ok(())
    }
}

/// Adds centred noise to the lowest bits of every word.
fn blur(share: &mut Matrix, rng: &mut ChaCha20Rng) {
    let half = 1u64 << (scales::OUTPUT_NOISE - 1);
    for word in share.words_mut() {
        let noise = rng.next_u64() >> (u64::BITS - scales::OUTPUT_NOISE);
        *word = word.wrapping_add(noise).wrapping_sub(half);
    }
}

fn not_begun() -> ProtocolError {
    CheckpointError {
        why: "the first layer has not begun".into(),
    }
    .into()
}

/// The own columns at 2^12.
fn encode(place: usize, terms: &Terms, columns: &Columns) -> Result<Matrix, ProtocolError> {
    let x = terms.rows_of(place, columns)?;
    let fits = |value: &f32| value.abs() < scales::COLUMN_BOUND;
    if let Some(value) = x.iter().find(|value| !fits(value)) {
        return Err(ProtocolError::Alignment(format!(
            "a column has the value {value}; below {} is needed: standardise (which limits numbers too, unless preprocess.clip in local.toml says \
             otherwise), or divide large columns",
            scales::COLUMN_BOUND
        )));
    }
    let values: Vec<f32> = x.iter().copied().collect();
    Ok(FixedPoint::new(scales::COLUMNS)?.encode(x.nrows(), x.ncols(), &values)?)
}

/// The first holder has the weights and the bias, the others zeros.
fn public_shares(place: usize, terms: &Terms, weights: &Array2<f32>) -> Result<(Vec<Matrix>, Matrix), ProtocolError> {
    let point = FixedPoint::new(scales::WEIGHTS)?;
    let share = |rows: std::ops::Range<usize>| {
        let block = weights.slice(s![rows, ..]);
        let values: Vec<f32> = block.iter().map(|value| if place == 0 { *value } else { 0.0 }).collect();
        point.encode(block.nrows(), block.ncols(), &values)
    };
    let mut from = 0;
    let mut shares = Vec::new();
    for columns in terms.widths() {
        shares.push(share(from..from + columns)?);
        from += columns;
    }
    Ok((shares, share(from..from + 1)?))
}

/// A part of the initial weights and of the bias that only this holder knows. The parts of all P add up to normal numbers of deviation 1 / sqrt(3 columns),
/// that of PyTorch's uniform ones.
fn secret_shares(terms: &Terms, own: &[u8; 32]) -> Result<(Vec<Matrix>, Matrix), ProtocolError> {
    let mut rng = ChaCha20Rng::from_seed(blake3::derive_key("cloven v1 vertical: initial weights", own));
    let deviation = 1.0 / (3.0 * terms.features() as f64 * terms.columns.len() as f64).sqrt();
    let point = FixedPoint::new(scales::WEIGHTS)?;
    let mut share = |rows: usize| {
        let values: Vec<f64> = (0..rows * terms.width).map(|_| normal(&mut rng) * deviation).collect();
        point.encode(rows, terms.width, &values)
    };
    let shares = terms.widths().into_iter().map(&mut share).collect::<Result<_, _>>()?;
    Ok((shares, share(1)?))
}
