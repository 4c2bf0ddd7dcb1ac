//! `sessions`: logins with their devices, some revoked.

use super::{Flaw, Row, auth_users};
use crate::documents::Version;
use crate::options::DAY_MS;
use crate::random::Purpose;
use crate::world::World;

pub(crate) const HEADER: &[u8] = b"id,user_id,session_token_hash,parent_token,device_id,device_name,ip_address,user_agent,is_revoked,revoked_at,revoked_reason,expires_at,created_at\n";

/// Writes the session `index` and says whether it is a state other than the current one.
pub(crate) fn write(world: &World, index: u64, version: Version, flaw: Option<Flaw>, row: &mut Row) -> bool {
    let mut random = world.random(Purpose::Session, index);
    let user = random.below(world.population.user_count()) as u32;
    let created_ms = world.later(world.population.user_created_ms(user), 300 * DAY_MS, &mut random);
    let current_revoked_ms = random.per_mille(250).then(|| world.later(created_ms, 20 * DAY_MS, &mut random));
    // The other state is the one before it was revoked.
    let is_other = version == Version::Other && current_revoked_ms.is_some_and(|ms| ms > created_ms);
    let revoked_ms = current_revoked_ms.filter(|_| !is_other);

    row.begin(flaw);
    row.id(&super::uuid(&mut random));
    row.optional(Some(&auth_users::id(world, u64::from(user))));
    row.optional(Some(&format!("CANARY-SESSION-TOKEN-{index}")));
    row.optional(random.per_mille(200).then_some("CANARY-PARENT-TOKEN"));
    row.optional(Some(&format!("{:016x}", random.bits())));
    row.text(random.pick(&["iPhone 17", "Pixel 9", "Büro-PC", "Anna's \"old\" laptop", "iPad, kitchen"]));
    row.optional(Some(&super::ip_address(&mut random)));
    row.optional(Some(random.pick(super::USER_AGENTS)));
    row.flag(revoked_ms.is_some());
    row.optional_time(revoked_ms);
    row.optional(revoked_ms.map(|_| random.pick(&["logout", "password_changed", "admin"])));
    row.optional_time(Some(created_ms + 30 * DAY_MS));
    row.time(created_ms);
    is_other
}
