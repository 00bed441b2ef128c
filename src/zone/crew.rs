//! Who gets a task: the pure choice of a clone from a zone's crew.

use std::collections::BTreeMap;

use super::resolve::nearest;
use crate::{
    brain,
    refs::Crew,
    task::{BrainName, CloneName, RoleName, Who, act_of, explain, zone_remove},
};

/// The clone that gets tasks when nobody is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hero {
    /// Its role.
    pub role: RoleName,
    /// Its number, where `khlone.yml` names one.
    pub number: Option<u32>,
    /// Its brain.
    pub brain: BrainName,
}

/// What there is to choose from.
#[derive(Debug)]
pub struct Pick<'a> {
    /// The address given, if any.
    pub who: Option<&'a Who>,
    /// The hero; `None` if no brain is ready and none is configured.
    pub hero: Option<&'a Hero>,
    /// The role of a hero that has no brain.
    pub default_role: &'a RoleName,
    /// The known roles, with the brain that `khlone.yml` gives them.
    pub roles: &'a BTreeMap<RoleName, Option<BrainName>>,
    /// The known brains.
    pub brains: &'a [BrainName],
    /// Local branches, to tell a zone mistaken for a brain.
    pub branches: &'a [String],
    /// The zone's branch.
    pub branch: &'a str,
    /// How many clones a zone may have.
    pub most: usize,
    /// How many tasks of each clone are not over; asked for `any` alone.
    pub busy: BTreeMap<CloneName, usize>,
}

/// An address that leads to nobody.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CrewError {
    /// No such role.
    #[error("there is no role `{role}`; known are {known}{}", or_near(.near))]
    Role {
        /// What was given.
        role: RoleName,
        /// All there are.
        known: String,
        /// The nearest.
        near: Vec<String>,
    },
    /// No such brain.
    #[error("there is no brain `{brain}`; known are {known}{}", or_near(.near))]
    Brain {
        /// What was given.
        brain: BrainName,
        /// All there are.
        known: String,
        /// The nearest.
        near: Vec<String>,
    },
    /// A branch given as a brain.
    #[error("`{0}` is a branch, not a brain")]
    Zone(String),
    /// A clone's brain is for life.
    #[error("{clone} runs on {has}, not on {asked}; a clone keeps its brain for life")]
    Mismatch {
        /// The clone.
        clone: CloneName,
        /// Its brain.
        has: BrainName,
        /// The one asked for.
        asked: BrainName,
    },
    /// A number nobody has.
    #[error("there is no clone {0} in this zone yet")]
    NoNumber(CloneName),
    /// The zone is full.
    #[error("this zone has {most} clones, the limit (limits.clones)")]
    Full {
        /// The limit.
        most: usize,
        /// The command that does without another one.
        instead: String,
    },
    /// Nothing to run on.
    #[error("no brain is installed and signed in here, and none is configured")]
    NoBrain,
}

explain! {
    CrewError {
        NotFound {
            // A brain stands behind its sign.
            Role { role, .. } if is_brain(role) => format!("git khlone act --who @{role} \"what is to be done\""),
            Role => "git khlone config    # has the roles; a new one goes into khlone.yml",
            Brain => "git khlone list brains",
            Zone(word) => format!("git khlone act --zone {word} \"what is to be done\""),
            NoNumber(clone) => format!("git khlone act --who {}++ \"what is to be done\"", clone.role),
        }
        Usage {
            Mismatch { clone, asked, .. } =>
                format!("git khlone act --who {}@{asked}++ \"what is to be done\"", clone.role),
        }
        Refused { Full { instead, .. } => format!("{instead}    # or raise limits.clones in khlone.yml") }
        Brain {
            NoBrain => "git khlone list brains",
        }
    }
}

fn is_brain(role: &RoleName) -> bool {
    brain::all().any(|brain| brain.name() == role.as_str())
}

fn or_near(near: &[String]) -> String {
    if near.is_empty() {
        String::new()
    } else {
        format!("; nearest: {}", near.join(", "))
    }
}

/// Chooses from the crew: the clone's name and its brain. A clone that is not in the crew is to be enrolled.
///
/// # Errors
/// [`CrewError`] if the address leads to nobody.
pub fn pick(crew: &BTreeMap<CloneName, Crew>, pick: &Pick<'_>) -> Result<(CloneName, BrainName), CrewError> {
    let nobody = Who::default();
    let who = pick.who.unwrap_or(&nobody);
    check_known(who, pick)?;
    let role = match (&who.role, pick.hero) {
        (Some(role), _) => role.clone(),
        (None, Some(hero)) => hero.role.clone(),
        (None, None) => pick.default_role.clone(),
    };
    let number = who.number.or_else(|| {
        pick.hero
            .filter(|_| pick.who.is_none())
            .and_then(|hero| hero.number)
    });
    let next = crew
        .keys()
        .filter(|name| name.role == role)
        .map(|name| name.number)
        .max()
        .unwrap_or(0)
        + 1;
    if let Some(number) = number {
        let name = CloneName { role, number };
        if let Some(member) = crew.get(&name) {
            return match &who.brain {
                Some(asked) if *asked != member.brain => Err(CrewError::Mismatch {
                    clone: name,
                    has: member.brain.clone(),
                    asked: asked.clone(),
                }),
                _ => Ok((name, member.brain.clone())),
            };
        }
        if number != next && pick.who.is_some() {
            return Err(CrewError::NoNumber(name));
        }
        return enrol(crew, pick, name, brain_for(who, pick, None)?);
    }
    let brain = brain_for(who, pick, Some(&role))?;
    let mut fitting = crew
        .values()
        .filter(|member| member.role == role && member.brain == brain);
    let tasks = |member: &Crew| pick.busy.get(&member.name).copied().unwrap_or(0);
    let found = if who.any {
        // Where no more fit in, the one with the least to do.
        let is_full = crew.len() >= pick.most;
        let least = fitting.min_by_key(|member| (tasks(member), member.name.number));
        least.filter(|member| is_full || tasks(member) == 0)
    } else {
        fitting.next()
    };
    match found {
        Some(member) if !who.enrol => Ok((member.name.clone(), brain)),
        _ => enrol(crew, pick, CloneName { role, number: next }, brain),
    }
}

fn enrol(
    crew: &BTreeMap<CloneName, Crew>,
    pick: &Pick<'_>,
    name: CloneName,
    brain: BrainName,
) -> Result<(CloneName, BrainName), CrewError> {
    if crew.len() >= pick.most {
        let instead = instead(crew, pick.branch, &name.role, &brain);
        Err(CrewError::Full {
            most: pick.most,
            instead,
        })
    } else {
        Ok((name, brain))
    }
}

/// What to do where there may be no more clones: one that is there takes the task, or makes room.
fn instead(crew: &BTreeMap<CloneName, Crew>, branch: &str, role: &RoleName, brain: &BrainName) -> String {
    let fits = |member: &Crew| member.role == *role && member.brain == *brain;
    let room = |clone: &CloneName| format!("{} --clone {clone}", zone_remove(branch));
    let last = crew.keys().next_back();
    if let Some(last) = last.filter(|_| crew.values().any(fits)) {
        let act = act_of(&format!("{role}.any@{brain}"), branch);
        return format!(
            "{act}    # takes the one with the least to do; {} makes room",
            room(last)
        );
    }
    match last {
        Some(clone) => format!("{}    # makes room", room(clone)),
        None => "git khlone list crew    # there is none".to_owned(),
    }
}

fn brain_for(who: &Who, pick: &Pick<'_>, role: Option<&RoleName>) -> Result<BrainName, CrewError> {
    let of_role = role
        .or(who.role.as_ref())
        .and_then(|role| pick.roles.get(role))
        .cloned()
        .flatten();
    who.brain
        .clone()
        .or(of_role)
        .or_else(|| pick.hero.map(|hero| hero.brain.clone()))
        .ok_or(CrewError::NoBrain)
}

fn check_known(who: &Who, pick: &Pick<'_>) -> Result<(), CrewError> {
    if let Some(role) = &who.role
        && !pick.roles.contains_key(role)
    {
        let known: Vec<_> = pick.roles.keys().map(ToString::to_string).collect();
        let near = nearest(role.as_str(), known.clone());
        return Err(CrewError::Role {
            role: role.clone(),
            known: known.join(", "),
            near,
        });
    }
    if let Some(brain) = &who.brain
        && !pick.brains.contains(brain)
    {
        if pick.branches.iter().any(|branch| branch == brain.as_str()) {
            return Err(CrewError::Zone(brain.to_string()));
        }
        let known: Vec<_> = pick.brains.iter().map(ToString::to_string).collect();
        let near = nearest(brain.as_str(), known.clone());
        return Err(CrewError::Brain {
            brain: brain.clone(),
            known: known.join(", "),
            near,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Explain;

    fn member(name: &str, brain: &str) -> (CloneName, Crew) {
        let name: CloneName = name.parse().unwrap();
        let crew = Crew {
            format: 1,
            role: name.role.clone(),
            brain: brain.parse().unwrap(),
            model: None,
            branch: format!("khlone/main/{name}"),
            path: None,
            session: None,
            session_folder: None,
            full: None,
            port: None,
            created: 0,
            unknown: serde_json::Map::new(),
            name: name.clone(),
        };
        (name, crew)
    }

    fn choose(crew: &[(&str, &str)], who: Option<&str>) -> Result<String, CrewError> {
        let crew = crew.iter().map(|(name, brain)| member(name, brain)).collect();
        let hero = Hero {
            role: "foreman".parse().unwrap(),
            number: None,
            brain: "codex".parse().unwrap(),
        };
        let roles = [("foreman", None), ("mechanic", Some("claude"))]
            .into_iter()
            .map(|(role, brain)| (role.parse().unwrap(), brain.map(|brain| brain.parse().unwrap())))
            .collect();
        let brains: Vec<BrainName> = ["claude", "codex", "shell"]
            .iter()
            .map(|b| b.parse().unwrap())
            .collect();
        let who = who.map(|who| who.parse::<Who>().unwrap());
        let choice = Pick {
            who: who.as_ref(),
            hero: Some(&hero),
            default_role: &hero.role,
            roles: &roles,
            brains: &brains,
            branches: &["dev".to_owned()],
            branch: "dev",
            most: 3,
            busy: [("foreman.1", 2), ("foreman.2", 1)]
                .map(|(name, tasks)| (name.parse().unwrap(), tasks))
                .into(),
        };
        pick(&crew, &choice).map(|(name, brain)| format!("{name}@{brain}"))
    }

    #[test]
    fn omitted_parts_come_from_the_hero_and_the_role() {
        assert_eq!(choose(&[], None).unwrap(), "foreman.1@codex");
        assert_eq!(
            choose(&[("foreman.1", "codex")], None).unwrap(),
            "foreman.1@codex"
        );
        assert_eq!(
            choose(&[("foreman.1", "codex")], Some("@shell")).unwrap(),
            "foreman.2@shell"
        );
        assert_eq!(choose(&[], Some("mechanic")).unwrap(), "mechanic.1@claude");
        assert_eq!(
            choose(&[("foreman.1", "codex")], Some("foreman++")).unwrap(),
            "foreman.2@codex"
        );
        // Naming a clone with --who never makes it the hero.
        assert_eq!(
            choose(&[("foreman.1", "shell")], None).unwrap(),
            "foreman.2@codex"
        );
        assert_eq!(
            choose(&[("foreman.1", "shell")], Some(".1")).unwrap(),
            "foreman.1@shell"
        );
    }

    #[test]
    fn any_is_a_free_clone_else_a_new_one_else_the_least_busy() {
        let (busy, less, free) = (
            ("foreman.1", "codex"),
            ("foreman.2", "codex"),
            ("foreman.3", "codex"),
        );
        for who in ["any", "foreman.any", "any@codex", "foreman.any@codex"] {
            assert_eq!(choose(&[busy, free], Some(who)).unwrap(), "foreman.3@codex");
            assert_eq!(choose(&[busy, less], Some(who)).unwrap(), "foreman.3@codex");
            let full = [busy, less, ("mechanic.1", "claude")];
            assert_eq!(choose(&full, Some(who)).unwrap(), "foreman.2@codex");
        }
        assert_eq!(
            choose(&[busy], Some("mechanic.any")).unwrap(),
            "mechanic.1@claude"
        );
        assert!("any++".parse::<Who>().is_err() && "foreman.any.2".parse::<Who>().is_err());
    }

    #[test]
    fn wrong_addresses_say_what_is_there() {
        let crew = [("foreman.1", "codex")];
        assert!(matches!(
            choose(&crew, Some(".1@claude")),
            Err(CrewError::Mismatch { .. })
        ));
        assert!(matches!(choose(&crew, Some(".3")), Err(CrewError::NoNumber(_))));
        assert!(matches!(choose(&crew, Some("@dev")), Err(CrewError::Zone(_))));
        let error = choose(&crew, Some("@cladue")).unwrap_err();
        assert!(error.to_string().contains("nearest: claude"), "{error}");
        assert!(matches!(
            choose(&crew, Some("plumber")),
            Err(CrewError::Role { .. })
        ));
        let full = [
            ("foreman.1", "codex"),
            ("foreman.2", "codex"),
            ("mechanic.1", "claude"),
        ];
        assert!(matches!(
            choose(&full, Some("++")),
            Err(CrewError::Full { most: 3, .. })
        ));
        let next = |who: &str| choose(&full, Some(who)).unwrap_err().hint().unwrap();
        assert!(next("foreman@codex++").starts_with("git khlone act --who foreman.any@codex -z dev "));
        assert!(next("mechanic@codex++").starts_with("git khlone zone remove dev --clone mechanic.1    # "));
    }
}
