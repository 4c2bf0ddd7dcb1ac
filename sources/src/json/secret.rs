//! Which keys are secret. Their values never leave the source, not even inside a rejected document.

/// Parts that make a normalised key secret wherever they stand in it.
const PARTS: [&str; 7] = ["password", "publickey", "privatekey", "token", "secret", "backupcode", "passcode"];

/// Whether values under this key must not be stored: by its lower-case name without `_` and `-`.
pub(crate) fn is_secret(key: &str) -> bool {
    let name: String =
        key.chars().filter(|character| !matches!(character, '_' | '-')).flat_map(char::to_lowercase).collect();
    PARTS.iter().any(|part| name.contains(part))
        || (name.contains("twofactor") && name != "twofactorenabled")
        || name.starts_with("otp")
        || name.ends_with("otp")
}

/// Whether a column of a MySQL row is left out of a rejected row.
pub(crate) fn is_withheld_column(name: &str) -> bool {
    let plain: String =
        name.chars().filter(|character| !matches!(character, '_' | '-')).flat_map(char::to_lowercase).collect();
    plain == "useragent" || is_secret(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_keys() {
        for key in [
            "password",
            "passwordHash",
            "PASS_WORD",
            "old-password",
            "publicKey",
            "public_key",
            "privateKey",
            "token",
            "fcmToken",
            "refresh_tokens",
            "secret",
            "clientSecret",
            "backupCodes",
            "backup_codes",
            "passcode",
            "twoFactorSecret",
            "twoFactor",
            "two_factor",
            "twoFactorEnabledAt",
            "otp",
            "OTP",
            "otpHash",
            "emailOtp",
            "o_t_p",
        ] {
            assert!(is_secret(key), "{key}");
        }
        for key in [
            "twoFactorEnabled",
            "two_factor_enabled",
            "two-factor-enabled",
            "key",
            "pass",
            "content",
            "optional",
            "photo",
            "laptops",
            "robotparts",
            "",
        ] {
            assert!(!is_secret(key), "{key}");
        }
        assert!(is_withheld_column("user_agent"));
        assert!(is_withheld_column("userAgent"));
        assert!(is_withheld_column("password_hash"));
        assert!(!is_withheld_column("email"));
    }
}
