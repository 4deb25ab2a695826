//! The messages of `secure_inference`. Words modulo 2^k go in as few bytes as hold k bits, the lowest byte first.

use cloven_nn::fixed_point::Structure;
use cloven_wire::{DecodeError, Message, Reader};

use super::seal;
use crate::{Ask, SignedKey};

/// The name and kind of every message, in the order of first use.
pub const MESSAGES: [(&str, u8); 22] = [
    (Meeting::NAME, Meeting::KIND),
    (KeyStep::NAME, KeyStep::KIND),
    (WeightStep::NAME, WeightStep::KIND),
    (TransferStep::NAME, TransferStep::KIND),
    (RemoteKey::NAME, RemoteKey::KIND),
    (Command::NAME, Command::KIND),
    (ProductStep::NAME, ProductStep::KIND),
    (ActivationPreparation::NAME, ActivationPreparation::KIND),
    (ServerKeys::NAME, ServerKeys::KIND),
    (Ask::NAME, Ask::KIND),
    (GatewayLayers::NAME, GatewayLayers::KIND),
    (UserKey::NAME, UserKey::KIND),
    (UserTransfer::NAME, UserTransfer::KIND),
    (UserProduct::NAME, UserProduct::KIND),
    (UserActivation::NAME, UserActivation::KIND),
    (SealedInput::NAME, SealedInput::KIND),
    (UserInput::NAME, UserInput::KIND),
    (UserStep::NAME, UserStep::KIND),
    (MaskedInput::NAME, MaskedInput::KIND),
    (ActivationStep::NAME, ActivationStep::KIND),
    (SealedShare::NAME, SealedShare::KIND),
    (SealedOutput::NAME, SealedOutput::KIND),
];

/// A message that is a step of which the receiver knows the length.
pub(super) trait Step: Message<Expect = usize> + From<Vec<u8>> + Into<Vec<u8>> {}

macro_rules! step {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $text:literal) => {
        crate::message::bytes_message!($(#[$doc])* $name, $kind, $text);

        impl From<Vec<u8>> for $name {
            fn from(bytes: Vec<u8>) -> Self {
                Self(bytes)
            }
        }

        impl From<$name> for Vec<u8> {
            fn from(step: $name) -> Self {
                step.0
            }
        }

        impl Step for $name {}
    };
}

step!(
    /// Between servers: a step of the common key.
    KeyStep, 81, "step of the common key"
);
step!(
    /// Between servers: a part of the encrypted weights.
    WeightStep, 82, "encrypted weights"
);
step!(
    /// Between servers: a step of the set-up of oblivious transfers.
    TransferStep, 83, "step of the transfers"
);
step!(
    /// Between servers, before an input: a step of the product of encrypted weights and masks.
    ProductStep, 86, "step of a masked product"
);
step!(
    /// Between servers, before an input: a step of preparing an activation.
    ActivationPreparation, 87, "preparation of an activation"
);
step!(
    /// User to gateway, for each input: the words of the gateway's share, then for every other server a box with the seed of its share.
    SealedInput, 89, "sealed input"
);
step!(
    /// Between servers: a share of the masked input.
    MaskedInput, 90, "masked input"
);
step!(
    /// Between servers: a step of an activation.
    ActivationStep, 91, "step of an activation"
);
step!(
    /// Remote server to gateway: its share of the output, sealed to the user.
    SealedShare, 92, "sealed share of the output"
);
step!(
    /// Gateway to user, for each input: the words of the gateway's share of the output, then every other server's, sealed.
    SealedOutput, 93, "sealed output"
);
step!(
    /// User to gateway, once: the key to which products are hidden.
    UserKey, 95, "key of a user"
);
step!(
    /// Between user and gateway, once: a step of the set-up of oblivious transfers.
    UserTransfer, 96, "step of a user's transfers"
);
step!(
    /// User to gateway, then back, before an input: encrypted words, and their product.
    UserProduct, 97, "product for a user"
);
step!(
    /// Between user and gateway, before an input: a step of preparing an activation.
    UserActivation, 98, "preparation of a user's activation"
);
step!(
    /// User to gateway: the words of an input less what hides it.
    UserInput, 99, "user's masked input"
);
step!(
    /// Between user and gateway: a step of an activation.
    UserStep, 100, "step of a user's activation"
);

/// Gateway to user, once: the steps of the layers that they evaluate together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayLayers(pub Structure);

impl GatewayLayers {
    /// Bytes of the longest: as JSON.
    const MAX_LEN: usize = 1 << 20;
}

impl Message for GatewayLayers {
    const KIND: u8 = 94;
    const NAME: &'static str = "layers of the gateway";
    type Expect = ();

    fn max_len((): &()) -> usize {
        Self::MAX_LEN
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.0.to_json().into_bytes());
    }

    fn decode(reader: &mut Reader<'_>, (): &()) -> Result<Self, DecodeError> {
        let structure = Structure::from_json(reader.rest()).map_err(|cause| DecodeError::Field {
            field: "layers",
            expected: "the steps of layers".into(),
            got: cause.to_string(),
        })?;
        Ok(Self(structure))
    }
}

/// Between servers, first: what they must agree on, and randomness of each for what is common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meeting {
    /// Which sharing of which model: drawn when it was shared.
    pub model: [u8; 16],
    /// Fresh.
    pub nonce: [u8; 32],
}

impl Message for Meeting {
    const KIND: u8 = 80;
    const NAME: &'static str = "meeting of servers";
    /// The receiver's model.
    type Expect = [u8; 16];

    fn max_len(_: &Self::Expect) -> usize {
        16 + 32
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.model);
        out.extend_from_slice(&self.nonce);
    }

    fn decode(reader: &mut Reader<'_>, own: &Self::Expect) -> Result<Self, DecodeError> {
        let (model, nonce) = (reader.array()?, reader.array()?);
        let hex = |model: &[u8; 16]| model[..4].iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        match model == *own {
            true => Ok(Self { model, nonce }),
            false => Err(DecodeError::Field {
                field: "model",
                expected: format!("shares of {}...", hex(own)),
                got: format!("shares of {}...", hex(&model)),
            }),
        }
    }
}

/// Remote server to gateway, once: the key to which users seal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteKey(pub SignedKey);

impl Message for RemoteKey {
    const KIND: u8 = 84;
    const NAME: &'static str = "key of a server";
    type Expect = ();

    fn max_len((): &()) -> usize {
        SignedKey::MAX_LEN
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }

    fn decode(reader: &mut Reader<'_>, (): &()) -> Result<Self, DecodeError> {
        SignedKey::read(reader).map(Self)
    }
}

/// Gateway to remote servers: what happens next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// One more inference is prepared, the one of this number.
    Prepare(u64),
    /// The oldest prepared inference, of this number, is used for the input whose share is sealed here.
    Infer(u64, Vec<u8>),
    /// Nothing for now.
    Wait,
    /// The service ends.
    End,
    /// The servers meet anew: the collective key has served for as many numbers as it may.
    Meet,
}

/// Bytes of a server's sealed share of an input: a seed and the user's key.
pub(super) const INPUT_BOX: usize = 32 + seal::KEY + seal::OVERHEAD;

impl Message for Command {
    const KIND: u8 = 85;
    const NAME: &'static str = "command";
    /// The numbers of the next inference to prepare and of the oldest prepared one.
    type Expect = (u64, u64);

    fn max_len(_: &Self::Expect) -> usize {
        1 + 8 + INPUT_BOX
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Prepare(number) => {
                out.push(0);
                out.extend_from_slice(&number.to_le_bytes());
            }
            Self::Infer(number, sealed) => {
                out.push(1);
                out.extend_from_slice(&number.to_le_bytes());
                out.extend_from_slice(sealed);
            }
            Self::Wait => out.push(2),
            Self::End => out.push(3),
            Self::Meet => out.push(4),
        }
    }

    fn decode(reader: &mut Reader<'_>, (next, oldest): &Self::Expect) -> Result<Self, DecodeError> {
        let numbered = |reader: &mut Reader<'_>, expected: u64| match reader.u64()? {
            number if number == expected && oldest <= next => Ok(number),
            number => Err(DecodeError::Field {
                field: "number of the inference",
                expected: expected.to_string(),
                got: number.to_string(),
            }),
        };
        match reader.u8()? {
            0 => numbered(reader, *next).map(Self::Prepare),
            1 if oldest == next => Err(DecodeError::Field {
                field: "command",
                expected: "none that uses what is not prepared".into(),
                got: "an inference".into(),
            }),
            1 => Ok(Self::Infer(numbered(reader, *oldest)?, reader.bytes(INPUT_BOX)?.to_vec())),
            2 => Ok(Self::Wait),
            3 => Ok(Self::End),
            4 => Ok(Self::Meet),
            other => Err(DecodeError::Field {
                field: "command",
                expected: "0 to 4".into(),
                got: other.to_string(),
            }),
        }
    }
}

/// Gateway to user, once: the keys of the remote servers, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerKeys(pub Vec<SignedKey>);

impl Message for ServerKeys {
    const KIND: u8 = 88;
    const NAME: &'static str = "keys of the servers";
    /// The number of remote servers.
    type Expect = usize;

    fn max_len(remotes: &usize) -> usize {
        remotes * SignedKey::MAX_LEN
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.0.iter().for_each(|key| key.put(out));
    }

    fn decode(reader: &mut Reader<'_>, remotes: &usize) -> Result<Self, DecodeError> {
        (0..*remotes)
            .map(|_| SignedKey::read(reader))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}
