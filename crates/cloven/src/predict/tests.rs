use super::*;
use crate::init::template;

fn party(name: &str) -> Party {
    name.parse().unwrap()
}

#[test]
fn the_server_of_several_clients_must_be_told_whose_rows() {
    let mut job = Job::parse(&template("wdbc", None).unwrap(), "test", &[]).unwrap();
    let [hospital, cloud, clinic] = ["hospital", "cloud", "clinic"].map(party);
    assert_eq!(client_of(&job, &cloud, None).unwrap(), hospital);
    assert_eq!(client_of(&job, &hospital, None).unwrap(), hospital);
    job.parties.insert(clinic.clone(), Role::Client);
    let error = client_of(&job, &cloud, None).unwrap_err().to_string();
    assert!(error.contains("clinic, hospital"), "{error}");
    assert_eq!(client_of(&job, &cloud, Some(&clinic)).unwrap(), clinic);
    assert!(client_of(&job, &cloud, Some(&cloud)).is_err());
    let error = client_of(&job, &hospital, Some(&clinic)).unwrap_err().to_string();
    assert!(error.contains("hospital predicts its own rows"), "{error}");
}

#[test]
fn what_is_learnt_is_of_the_layers_around_the_cut() {
    let leaks_of = |set: &str| {
        let settings = crate::parse_settings(&[set.to_owned()]).unwrap();
        let job = Job::parse(&template("wdbc", None).unwrap(), "test", &settings).unwrap();
        let all = leaks(&job, &party("hospital"), false).into_iter();
        all.map(|leak| format!("{} learns {}. ", leak.party, leak.learns))
            .collect::<String>()
    };
    let between = leaks_of("model.server_layers=[2, 3, 4]");
    assert!(between.contains("cloud learns the activation of every row") && !between.contains("the prediction"));
    assert!(leaks_of("model.server_layers=[4, 5, 6]").contains("cloud learns the prediction for every row"));
}
