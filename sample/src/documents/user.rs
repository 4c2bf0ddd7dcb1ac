//! Users: profiles, devices, and the secrets that stand beside them in the source.

use super::Version;
use crate::json::Json;
use crate::options::DAY_MS;
use crate::random::{Purpose, Random};
use crate::style::Style;
use crate::vocabulary;
use crate::world::{Identity, World};

/// Writes a user and says whether it is a state other than the current one. `active_ms` is when the user last wrote.
pub(crate) fn write(world: &World, user: u32, active_ms: Option<i64>, version: Version, json: &mut Json) -> bool {
    let mut random = world.random(Purpose::User, u64::from(user));
    let style = Style::draw(&mut random);
    let created_ms = world.population.user_created_ms(user);
    let identity = world.identity(user);
    let updated_ms = world.later(created_ms, 200 * DAY_MS, &mut random);
    let mut newer = world.random(Purpose::UserVersion, u64::from(user));
    let newer_ms = world.later(updated_ms, 30 * DAY_MS, &mut newer);
    let is_other = version == Version::Other && newer_ms > updated_ms;

    json.begin(style);
    json.id(world.user_id(user));
    write_profile(&identity, is_other.then_some(&mut newer), &mut random, json);
    write_presence(world, style, active_ms.unwrap_or(created_ms), &mut random, json);
    write_standing(&mut random, json);
    write_devices(world, created_ms, style, &mut random, json);
    write_secrets(user, style, &mut random, json);
    json.date("createdAt", created_ms);
    json.date("updatedAt", if is_other { newer_ms } else { updated_ms });
    if !style.is_documented() {
        json.int("__v", random.between(0, 40));
    }
    is_other
}

/// With `newer`, the user has taken another name.
fn write_profile(identity: &Identity, newer: Option<&mut Random>, random: &mut Random, json: &mut Json) {
    if identity.email.is_none() || random.per_mille(700) {
        let number = random.below(10_000_000_000).to_string();
        json.parts("phoneNumber", &[random.pick(&["+49", "+1", "+55", "+91"]), &number]);
    }
    if let Some(email) = &identity.email {
        json.text("email", email);
    }
    if !random.per_mille(30) {
        json.text("username", &identity.username);
    }
    let name = random.per_mille(980).then(|| vocabulary::display_name(random));
    match (newer, name) {
        (Some(newer), _) => json.parts("displayName", &[vocabulary::display_name(newer), " (new)"]),
        (None, Some(name)) => json.text("displayName", name),
        (None, None) => json.null("displayName"),
    }
    match random.below(10) {
        0..5 => json.parts("avatar", &["https://cdn.quickchat.example/media/avatars/", &identity.username, ".jpg"]),
        5 => json.text("avatar", ""),
        6 => json.null("avatar"),
        _ => (),
    }
    if random.per_mille(600) {
        json.text("bio", random.pick(vocabulary::BIOS));
    }
}

fn write_presence(world: &World, style: Style, active_ms: i64, random: &mut Random, json: &mut Json) {
    let is_online = random.per_mille(80);
    if !random.per_mille(50) {
        json.text("status", if is_online { "online" } else { random.pick(&["offline", "away", "busy"]) });
    }
    if style.is_documented() {
        json.flag("isOnline", is_online);
    }
    match random.below(20) {
        0 => (),
        1 => json.null("lastSeen"),
        _ => json.date("lastSeen", world.later(active_ms, DAY_MS, random)),
    }
}

fn write_standing(random: &mut Random, json: &mut Json) {
    if !random.per_mille(150) {
        json.text("role", random.weighted(&[(970, "user"), (20, "moderator"), (10, "admin")]));
    }
    for (key, share) in [("isBanned", 10), ("isVerified", 300)] {
        let value = random.per_mille(share);
        if value || random.per_mille(700) {
            json.flag(key, value);
        }
    }
}

fn write_devices(world: &World, created_ms: i64, style: Style, random: &mut Random, json: &mut Json) {
    if style.is_documented() && random.per_mille(500) {
        return;
    }
    json.open_list("linkedDevices");
    for _ in 0..random.weighted(&[(300, 0), (450, 1), (200, 2), (50, 4)]) {
        json.open_item();
        let device = format!("{:016x}", random.bits());
        json.text("deviceId", &device);
        json.text("name", random.pick(&["iPhone", "Pixel 9", "Firefox on Linux", "Büro-PC"]));
        json.parts("publicKey", &["CANARY-DEVICE-KEY-", &device]);
        json.date("linkedAt", world.later(created_ms, 300 * DAY_MS, random));
        json.close_object();
    }
    json.close_list();
}

/// Values that are plainly fake, in fields that must never be ingested.
fn write_secrets(user: u32, style: Style, random: &mut Random, json: &mut Json) {
    let user = user.to_string();
    json.parts("password", &["CANARY-PASSWORD-HASH-", &user]);
    json.parts(if style.is_documented() { "publicKey" } else { "public_key" }, &["CANARY-PUBLIC-KEY-", &user]);
    if random.per_mille(150) {
        json.open_object("otp");
        json.parts("code", &["CANARY-OTP-", &user]);
        json.close_object();
    }
    if random.per_mille(250) {
        json.flag("twoFactorEnabled", true);
        json.parts("twoFactorSecret", &["CANARY-TWO-FACTOR-", &user]);
        json.open_list("backupCodes");
        json.item_text("CANARY-BACKUP-1");
        json.item_text("CANARY-BACKUP-2");
        json.close_list();
    }
    if !style.is_documented() {
        json.open_list("refreshTokens");
        json.open_item();
        json.parts("token", &["CANARY-REFRESH-TOKEN-", &user]);
        json.close_object();
        json.close_list();
        json.open_object("settings");
        json.text("theme", random.pick(&["dark", "light", "system"]));
        json.parts("pushToken", &["CANARY-PUSH-TOKEN-", &user]);
        json.close_object();
    }
}
