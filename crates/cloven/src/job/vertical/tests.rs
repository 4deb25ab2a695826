use super::*;
use crate::{init::template, job::parse_settings};

fn parse(settings: &[&str]) -> Result<Job, Error> {
    let settings: Vec<String> = settings.iter().map(|s| (*s).to_owned()).collect();
    let text = template("wdbc", Some(Protocol::Vertical))?;
    Job::parse(&text, "job.toml", &parse_settings(&settings)?)
}

#[test]
fn the_terms_say_what_the_job_says() {
    let terms = parse(&[]).unwrap().vertical_terms().unwrap();
    let name = |party: &Party| party.as_str().to_owned();
    let columns: Vec<_> = terms.columns.iter().map(|(party, columns)| (name(party), *columns)).collect();
    assert_eq!(columns, [("clinic".to_owned(), 10), ("lab".to_owned(), 20)]);
    assert_eq!(
        (name(&terms.label_holder), name(&terms.server)),
        ("clinic".into(), "cloud".into())
    );
    assert_eq!((terms.width, terms.dealer, terms.public_weights), (8, None, None));
    assert_eq!(terms.gradient, vertical::Gradient::Shared);
    assert_eq!(terms.first_layer, vertical::FirstLayer::Shares);

    let settings = [
        "parties.helper=dealer",
        "vertical.triples=dealer",
        "vertical.gradient=open",
        "vertical.private_activation=true",
        "vertical.initial_weights=public",
    ];
    let job = parse(&settings).unwrap();
    let terms = job.vertical_terms().unwrap();
    assert_eq!(terms.dealer.as_ref().map(Party::as_str), Some("helper"));
    assert_eq!(terms.gradient, vertical::Gradient::Open);
    assert!(terms.private_activation);
    let weights = terms.public_weights.unwrap();
    assert_eq!(weights.dim(), (31, 8));
    // As an ordinary network of the job's seed has them.
    let network = Network::new(&job.cut().unwrap().model, 0..1, job.seed).unwrap();
    let one = |row: usize| ndarray::ArrayD::from_shape_fn(vec![1, 30], |at| f32::from(at[1] == row));
    let outputs = network.forward(&one(7)).unwrap();
    for output in 0..8 {
        assert_eq!(outputs[[0, output]], weights[[7, output]] + weights[[30, output]]);
    }
    assert!(
        job.leaks()
            .iter()
            .any(|leak| leak.party == "cloud" && leak.learns.contains("initial weights"))
    );
}

#[test]
fn a_section_that_is_left_out_means_an_empty_one() {
    let text = template("wdbc", Some(Protocol::Vertical)).unwrap();
    let start = text.find("[vertical]").unwrap();
    let end = text.find("[training]").unwrap();
    let without = format!("{}{}", &text[..start], &text[end..]);
    let few = parse_settings(&["training.epochs=3".to_owned()]).unwrap();
    let empty = without.replace("[training]", "[vertical]\n[training]");
    let digests = [&without, &empty].map(|text| Job::parse(text, "job.toml", &few).unwrap().digest());
    assert_eq!(digests[0], digests[1]);
}

#[test]
fn holders_divide_the_columns_in_the_order_of_their_names() {
    let job = parse(&["parties.archive=holder", "data.columns={clinic=10,lab=12,archive=8}"]).unwrap();
    let of = |name: &str| job.columns_of(&name.parse().unwrap());
    assert_eq!(
        [of("archive"), of("clinic"), of("lab"), of("cloud")],
        [0..8, 8..18, 18..30, 18..18]
    );
    let names: Vec<_> = job.holders().map(Party::as_str).collect();
    assert_eq!(names, ["archive", "clinic", "lab"]);
    // A label holder without columns.
    let job = parse(&["parties.archive=holder", "data.columns={lab=22,archive=8}"]).unwrap();
    assert_eq!(job.columns_of(&"clinic".parse().unwrap()), 8..8);
}

#[test]
fn mistakes_are_named() {
    let tanh = "model.layers=[{type='dense',outputs=4},{type='tanh'},{type='relu'},{type='relu'},{type='dense',outputs=1}]";
    for (settings, expected) in [
        (&["parties.lab=client"][..], "one label-holder, one server"),
        (&["parties.lab=label-holder"], "one label-holder, one server"),
        (&["parties.helper=dealer"], "helper is the dealer, which only triples"),
        (&["vertical.triples=dealer"], "needs a party with role dealer"),
        (
            &["parties.helper=dealer", "vertical.triples=dealer", "vertical.first_layer=he"],
            "only first_layer = \"shares\" needs triples",
        ),
        (&["data.columns={clinic=10}"], "say how many columns lab holds"),
        (&["data.columns={clinic=10,lab=20,cloud=1}"], "cloud is the server"),
        (&["data.columns={clinic=10,lab=20,nobody=1}"], "no party is called nobody"),
        (&["data.columns={clinic=0,lab=30}"], "at least 1 column"),
        (&["data.columns={lab=30}"], "expected 2 to 16 holders with columns, got 1"),
        (&["data.columns={clinic=10,lab=21}"], "expected [31], the sum of data.columns"),
        (&["model.server_layers=[0,1]"], "layers from 1 on at the server"),
        (&["model.server_layers=[1,2,3,4]"], "at least one after them"),
        (
            &["model.layers=[{type='relu'},{type='dense',outputs=4},{type='relu'},{type='relu'},{type='dense',outputs=1}]"],
            "a dense first layer with a bias",
        ),
        (
            &[
                "model.layers=[{type='dense',outputs=4,bias=false},{type='relu'},{type='relu'},{type='relu'},{type='dense',outputs=1}]",
            ],
            "a dense first layer with a bias",
        ),
        (
            &["training.optimiser={type='adamw',learning_rate=0.1}"],
            "sgd without momentum",
        ),
        (&["training.optimiser.momentum=0.9"], "sgd without momentum"),
        (
            &["training.optimiser.weight_decay=0.1"],
            "sgd without momentum and weight decay",
        ),
        (&["data.test_fraction=0.0"], "expected above 0"),
        (
            &["vertical.private_activation=true", "vertical.first_layer=plain"],
            "protects nothing",
        ),
        (
            &["vertical.private_activation=true", tanh],
            "the layer after the first must be a relu",
        ),
        (
            &["vertical.acknowledge=['anything']"],
            "expected \"h1-span\", got \"anything\"",
        ),
        (&["vertical.first_layer=garbled"], "garbled"),
        (&["encryption.precision=0.1"], "protocol vertical has no encryption"),
        (&["protocol=plain"], "protocol plain has no such setting"),
    ] {
        let text = parse(settings).unwrap_err().to_string();
        assert!(text.contains(expected), "{settings:?}: {text}");
    }
    let plain = template("wdbc", None).unwrap();
    for setting in ["parties.extra=holder", "data.columns={hospital=30}"] {
        let settings = parse_settings(&[setting.to_owned()]).unwrap();
        assert!(Job::parse(&plain, "job.toml", &settings).is_err(), "{setting}");
    }
}

#[test]
fn without_protection_nobody_deals() {
    let job = parse(&[
        "parties.helper=dealer",
        "vertical.triples=dealer",
        "vertical.private_activation=true",
    ])
    .unwrap();
    let plain = job.unprotected();
    plain.validate("plain").unwrap();
    assert_eq!(plain.vertical_terms().unwrap().first_layer, vertical::FirstLayer::Plain);
    assert_eq!(plain.unprotected(), plain);
}

#[test]
fn outputs_that_span_the_columns_must_be_accepted() {
    // 31 numbers, 8 outputs a pass: the fourth pass.
    parse(&["vertical.acknowledge=[]", "training.epochs=3"]).unwrap();
    let text = parse(&["vertical.acknowledge=[]", "training.epochs=4"])
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("after 4 passes") && text.contains("at most 3 epochs") && text.contains("acknowledge = [\"h1-span\"]"),
        "{text}"
    );
    let wide = "model.layers=[{type='dense',outputs=31},{type='relu'},{type='relu'},{type='relu'},{type='dense',outputs=1}]";
    let text = parse(&["vertical.acknowledge=[]", "training.epochs=1", wide])
        .unwrap_err()
        .to_string();
    assert!(text.contains("after 1 passes") && !text.contains("at most"), "{text}");
    parse(&["training.epochs=100"]).unwrap();
}

#[test]
fn the_circuit_of_a_private_activation_can_be_chosen() {
    let low_depth = ["vertical.private_activation=true", "vertical.activation_circuit=low-depth"];
    let chosen = |settings: &[&str]| parse(settings).unwrap().vertical_terms().unwrap().activation_circuit;
    assert_eq!(chosen(&low_depth[..1]), vertical::ActivationCircuit::FewAnds);
    assert_eq!(chosen(&low_depth), vertical::ActivationCircuit::LowDepth);
    let usual = ["vertical.private_activation=true", "vertical.activation_circuit=few-ands"];
    assert_eq!(parse(&usual).unwrap().digest(), parse(&usual[..1]).unwrap().digest());
    let error = parse(&low_depth[1..]).unwrap_err().to_string();
    assert!(error.contains("vertical.activation_circuit"), "{error}");
}

#[test]
fn parameters_of_the_encryption_depend_on_the_rows() {
    let of = |settings: &[&str], rows| parse(settings).unwrap().encryption_parameters(rows).unwrap();
    let he = of(&["vertical.first_layer=he"], Some([400, 100])).unwrap();
    let triples = of(&[], Some([400, 100])).unwrap();
    assert_eq!(
        (he.log2_n, he.security_bits, he.ring_bits, he.fraction_bits),
        (13, 128, Some(64), Some(12))
    );
    assert_eq!(triples.log2_qp, he.log2_qp, "both multiply by columns");
    assert_eq!(of(&[], None), None);
    let dealt = ["parties.helper=dealer", "vertical.triples=dealer"];
    assert_eq!(of(&dealt, Some([400, 100])), None);
    assert_eq!(of(&["vertical.first_layer=plain"], Some([400, 100])), None);
}
