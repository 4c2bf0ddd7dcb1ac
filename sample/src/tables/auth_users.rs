//! `auth_users`: one account a user; some users have none, and some accounts no user.

use super::{Flaw, Row};
use crate::documents::Version;
use crate::object_id::Kind;
use crate::options::DAY_MS;
use crate::random::Purpose;
use crate::world::{AuthLink, World};

pub(crate) const HEADER: &[u8] = b"id,email,password_hash,external_id,status,two_factor_enabled,two_factor_secret,backup_codes,failed_login_attempts,locked_until,last_login_at,updated_at,created_at\n";

/// Keeps the accounts' keys apart from those of the users' identities.
const ACCOUNT: u64 = 1 << 40;

/// The id of the account `index`, that of the user with this number.
pub(crate) fn id(world: &World, index: u64) -> String {
    super::uuid(&mut world.random(Purpose::AuthUser, ACCOUNT * 2 + index))
}

/// Writes the account `index` and says whether it is a state other than the current one.
pub(crate) fn write(world: &World, index: u64, version: Version, flaw: Option<Flaw>, row: &mut Row) -> bool {
    let mut random = world.random(Purpose::AuthUser, ACCOUNT + index);
    // A bad row has an index beyond the users and borrows the times of one.
    let user = (index % world.population.user_count()) as u32;
    let identity = world.identity(user);
    let created_ms = world.later(world.population.user_created_ms(user), 60_000, &mut random);
    let is_updated = random.per_mille(900);
    let updated_ms = if is_updated { world.later(created_ms, 300 * DAY_MS, &mut random) } else { created_ms };
    let newer_ms = world.later(updated_ms, 20 * DAY_MS, &mut random);
    let is_other = version == Version::Other && newer_ms > updated_ms;

    row.begin(flaw);
    row.id(&id(world, index));
    let stranger = format!("gone{index}@example.com");
    match (identity.link, identity.email.as_deref()) {
        (AuthLink::None, _) => row.text(&stranger),
        (_, None) => row.text(""),
        // Entered by hand: other case, spaces around it.
        (_, Some(email)) if random.per_mille(200) => row.text(&format!(" {} ", email.to_ascii_uppercase())),
        (_, Some(email)) => row.text(email),
    }
    row.text(&format!("CANARY-PASSWORD-HASH-{index}"));
    let external_id = match identity.link {
        AuthLink::ExternalId => Some(world.user_id(user)),
        AuthLink::None if random.per_mille(500) => Some(world.ids.id(Kind::Stranger, created_ms, index)),
        AuthLink::Email | AuthLink::None => None,
    };
    row.optional(external_id.map(|id| id.hex().map(char::from).iter().collect::<String>()).as_deref());
    row.text(random.weighted(&[(950, "active"), (30, "suspended"), (20, "pending")]));
    let has_two_factor = random.per_mille(250);
    row.flag(has_two_factor);
    row.optional(has_two_factor.then_some("CANARY-TWO-FACTOR-SECRET"));
    row.optional(has_two_factor.then_some("[\"CANARY-BACKUP-1\",\"CANARY-BACKUP-2\"]"));
    row.integer(if is_other { 4 } else { random.weighted(&[(900, 0), (80, 1), (20, 5)]) });
    match random.below(100) {
        0 => row.optional_time(Some(newer_ms)),
        1 => row.field("0000-00-00 00:00:00"),
        _ => row.optional_time(None),
    }
    let login_ms = (!random.per_mille(60)).then(|| world.later(created_ms, 400 * DAY_MS, &mut random));
    row.optional_time(login_ms);
    let shown_ms = if is_other { newer_ms } else { updated_ms };
    row.optional_time((shown_ms > created_ms).then_some(shown_ms));
    row.time(created_ms);
    is_other
}
