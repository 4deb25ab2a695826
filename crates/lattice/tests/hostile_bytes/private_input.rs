//! Uploads and responses of layers with an encrypted input.

use cloven_lattice::{
    PublicKey,
    linear::{LinearShape, PrivateInputLinear},
};

use super::{Target, key, response, secret, seeded};

pub fn targets() -> Vec<Target> {
    let shape = LinearShape::Dense { inputs: 30, outputs: 5 };
    let mut targets = of_layer("PrivateInputLinear::respond", "PrivateInputLinear::decrypt", shape, [32, 20]);
    let shape = LinearShape::Convolution {
        channels: [3, 5],
        image: [9, 9],
        kernel: [3, 3],
        stride: [2, 2],
        padding: [1, 1],
    };
    // A small ring.
    targets.extend(of_layer(
        "PrivateInputLinear::respond, convolution",
        "PrivateInputLinear::decrypt, convolution",
        shape,
        [16, 8],
    ));
    targets
}

fn of_layer(respond: &'static str, decrypt: &'static str, shape: LinearShape, [ring, bits]: [u32; 2]) -> Vec<Target> {
    let layer = PrivateInputLinear::for_shapes(&[shape], ring, bits, 1 << 20)
        .unwrap()
        .remove(0);
    let parameters = layer.parameters().clone();
    let secret = secret(&parameters);
    let public = PublicKey::generate(&secret, &key(), b"p").unwrap();
    let weights = layer.prepare(&vec![7; shape.weights()]).unwrap();
    let upload = layer.encrypt(&vec![9; shape.inputs()], &secret, &key(), b"x").unwrap();
    let (responder, reader, outputs) = (key(), layer.clone(), shape.outputs());
    let uploads = layer.uploads();
    assert_eq!(layer.responses(), 1);
    let answer = move |bytes: &[u8]| layer.respond(&weights, bytes, &public, &responder, b"w");
    let valid = answer(&upload).unwrap().response;
    vec![
        Target {
            name: respond,
            valid: upload,
            pieces: seeded(&parameters, 0, uploads),
            decode: Box::new(move |bytes| answer(bytes).map(drop)),
        },
        Target {
            name: decrypt,
            valid,
            // All of c1, and the outputs of c0.
            pieces: vec![response(parameters.degree(), ring + 12), response(outputs, ring + 3)],
            decode: Box::new(move |bytes| reader.decrypt(bytes, &secret).map(drop)),
        },
    ]
}
