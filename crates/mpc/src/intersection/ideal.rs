//! What the protocols realise. For tests of this and of upper layers.

use super::Intersection;
use crate::ids::Id;
use std::collections::HashSet;

/// The intersection as a trusted party hands it out, in the order of a hash.
pub fn intersect(sets: &[Vec<Id>]) -> Vec<Intersection> {
    let members: Vec<HashSet<&Id>> = sets.iter().map(|set| set.iter().collect()).collect();
    let of = |set: &Vec<Id>| {
        let common = |place: &usize| members.iter().all(|other| other.contains(&set[*place]));
        let mut places: Vec<usize> = (0..set.len()).filter(common).collect();
        places.sort_by_key(|place| *blake3::hash(&set[*place]).as_bytes());
        Intersection { places }
    };
    sets.iter().map(of).collect()
}

/// Whether the results name, in one order, exactly the ids common to all sets.
pub fn is_intersection(sets: &[Vec<Id>], results: &[Intersection]) -> bool {
    let ids = |set: &Vec<Id>, result: &Intersection| result.places.iter().map(|place| set[*place]).collect::<Vec<_>>();
    let named: Vec<_> = sets.iter().zip(results).map(|(set, result)| ids(set, result)).collect();
    let expected: HashSet<Id> = intersect(sets)
        .iter()
        .zip(sets)
        .flat_map(|(result, set)| ids(set, result))
        .collect();
    sets.len() == results.len()
        && named.windows(2).all(|pair| pair[0] == pair[1])
        && named
            .iter()
            .all(|ids| ids.len() == expected.len() && ids.iter().all(|id| expected.contains(id)))
}
