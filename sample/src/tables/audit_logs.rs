//! `audit_logs`: what happened to accounts, append-only, in time order.

use super::{Flaw, Row, auth_users};
use crate::documents::Version;
use crate::random::Purpose;
use crate::world::{AuthLink, World};

pub(crate) const HEADER: &[u8] = b"id,user_id,email,event_type,status,ip_address,user_agent,device_id,country,city,failure_reason,request_id,session_id,details,created_at\n";

/// Countries with a city.
const PLACES: &[(&str, &str)] = &[
    ("DE", "München"),
    ("BR", "São Paulo"),
    ("JP", "東京"),
    ("IN", "Pune"),
    ("US", "Washington, D.C."),
    ("EG", "القاهرة"),
];

/// Writes the entry `index`. Entries never change, so there is no other state and the answer is always false.
pub(crate) fn write(world: &World, index: u64, _version: Version, flaw: Option<Flaw>, row: &mut Row) -> bool {
    let mut random = world.random(Purpose::AuditLog, index);
    let position = index % world.sizes.audit_logs;
    let created_ms = world.rhythm.at(position, world.sizes.audit_logs, &mut random);
    let user = world.population.draw_user(created_ms, &mut random);
    let identity = world.identity(user);
    let types =
        [(600, "login"), (200, "token_refresh"), (100, "logout"), (50, "password_change"), (50, "device_linked")];
    let failure = random.per_mille(80).then(|| random.pick(&["bad_password", "locked", "unknown device, blocked"]));

    row.begin(flaw);
    row.id(&(index + 1).to_string());
    let has_account = identity.link != AuthLink::None;
    row.optional(has_account.then(|| auth_users::id(world, u64::from(user))).as_deref());
    row.optional(identity.email.as_deref());
    row.text(random.weighted(&types));
    row.optional(Some(if failure.is_some() { "failure" } else { "success" }));
    row.optional(Some(&super::ip_address(&mut random)));
    row.optional(Some(random.pick(super::USER_AGENTS)));
    row.optional(random.per_mille(700).then(|| format!("{:016x}", random.bits())).as_deref());
    let place = random.per_mille(850).then(|| random.pick(PLACES));
    row.optional(place.map(|(country, _)| country));
    row.optional(place.map(|(_, city)| city));
    row.optional(failure);
    row.optional(Some(&super::uuid(&mut random)));
    row.optional(None);
    row.optional(Some(random.pick(&["", "{\"step\": \"done\", \"ms\": 12}", "line one\nline two"])));
    row.time(created_ms);
    false
}
