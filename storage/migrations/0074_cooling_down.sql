-- Whether anything of some scopes is cooling down at a moment, Unix seconds: by what is committed when it
-- is asked, and not when the statement that asks began, which may have waited for locks since.
CREATE FUNCTION cooling_down(scopes text[], moment_s float8) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM rate_cooldowns c WHERE c.scope = ANY (scopes) AND c.until > to_timestamp(moment_s));
END $$;
