create or replace function notify.check_template_texts(p_tag text, p_texts jsonb) returns integer
language plpgsql immutable as $$
declare
  v_part text;
  v_source jsonb;
  v_field text;
  v_size integer := 0;
begin
  if p_tag !~ '^[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8}){0,4}$' then
    perform notify.refuse('NT001', 'locales', 'the keys of locales must be language tags such as de or pt-BR');
  elsif jsonb_typeof(p_texts) <> 'object' or not p_texts ?& '{title,message}' then
    perform notify.refuse('NT001', 'locales.' || p_tag, format('locales.%s must be an object with title, message and perhaps html', p_tag));
  end if;
  for v_part, v_source in select t.key, t.value from jsonb_each(p_texts) as t loop
    v_field := format('locales.%s.%s', p_tag, left(v_part, 100));
    if v_part not in ('title', 'message', 'html') then
      perform notify.refuse('NT001', v_field, format('%s is not known here; known are title, message and html', v_field));
    elsif jsonb_typeof(v_source) <> 'string' or v_source = '""' then
      perform notify.refuse('NT001', v_field, format('%s must be a text that is not empty', v_field));
    elsif octet_length(v_source #>> '{}') > 65536 then
      perform notify.refuse('NT003', v_field, format('%s has more than 65536 bytes', v_field));
    end if;
    v_size := v_size + octet_length(v_source #>> '{}');
  end loop;
  return v_size;
end
$$;
comment on function notify.check_template_texts(text, jsonb) is
  'Refuses the sources of one locale that cannot be accepted, naming the field. Returns how many bytes they have. Whether they are good templates is not known in the database.';

create or replace function notify.check_template(p_name text, p_default_locale text, p_locales jsonb) returns void
language plpgsql immutable as $$
declare
  v_count integer;
begin
  if p_name is null or p_name !~ '^[a-z][a-z0-9_.-]{0,63}$' then
    perform notify.refuse('NT001', 'name', 'name must have up to 64 characters of a-z, 0-9, _, . and -, and begin with a letter');
  elsif p_locales is null or jsonb_typeof(p_locales) <> 'object' then
    perform notify.refuse('NT001', 'locales', 'locales must be an object');
  elsif p_locales = '{}' then
    perform notify.refuse('NT001', 'locales', 'locales must not be empty');
  end if;
  select count(*) into v_count from jsonb_object_keys(p_locales);
  if v_count > 20 then
    perform notify.refuse('NT003', 'locales', 'locales has more than 20 entries');
  elsif v_count > (select count(distinct lower(replace(k, '_', '-'))) from jsonb_object_keys(p_locales) as k) then
    perform notify.refuse('NT001', 'locales', 'two of locales are the same language tag');
  elsif p_default_locale is null or not p_locales ? p_default_locale then
    perform notify.refuse('NT001', 'default_locale', 'default_locale must be one of locales');
  elsif (select sum(notify.check_template_texts(l.key, l.value)) from jsonb_each(p_locales) as l) > 1048576 then
    perform notify.refuse('NT003', 'locales', 'locales has more than 1048576 bytes');
  end if;
end
$$;
comment on function notify.check_template(text, text, jsonb) is 'Refuses a template that cannot be accepted, naming the field.';

create or replace function notify.hold_template(p_name text) returns void
language sql as $$
  select pg_advisory_xact_lock(hashtextextended(p_name, 5478))
$$;
comment on function notify.hold_template(text) is
  'Lets one transaction at a time change the versions of a template; others wait.';

create or replace function notify.put_template(p_name text, p_default_locale text, p_locales jsonb)
returns table (version integer, created boolean)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  v_newest notify.template;
  v_version integer;
begin
  perform set_config('synchronous_commit', 'on', true);
  perform notify.check_template(p_name, p_default_locale, p_locales);
  perform notify.hold_template(p_name);
  select t.* into v_newest from notify.template t where t.name = p_name order by t.version desc limit 1;
  if (v_newest.default_locale, v_newest.locales) is not distinct from (p_default_locale, p_locales) then
    return query select v_newest.version, false;
    return;
  end if;
  v_version := coalesce(v_newest.version, 0) + 1;
  insert into notify.template (name, version, default_locale, locales, created_at)
  values (p_name, v_version, p_default_locale, p_locales, notify.now());
  -- Who deploys a template with every release shall not fill the disk.
  delete from notify.template t where t.name = p_name and t.version <= v_version - 100;
  return query select v_version, true;
end
$$;
comment on function notify.put_template(text, text, jsonb) is
  'Stores a template as its next version, unless it is what the newest one is already. The newest hundred are kept. Returns the version, and whether this call made it.';

create or replace function notify.find_template(p_name text, p_version integer default null) returns setof notify.template
language sql stable rows 1 security definer set search_path = pg_catalog, pg_temp as $$
  select t.* from notify.template t
  where t.name = p_name and (p_version is null or t.version = p_version)
  order by t.version desc
  limit 1
$$;
comment on function notify.find_template(text, integer) is 'A version of a template; null: the newest. No row where there is none.';

create or replace function notify.list_templates(p_after text, p_limit bigint)
returns table (name text, version integer, default_locale text, locales text[], created_at timestamptz)
language sql stable rows 100 security definer set search_path = pg_catalog, pg_temp as $$
  select t.name, t.version, t.default_locale, array(select k from jsonb_object_keys(t.locales) as k order by k collate "C"), t.created_at
  from notify.template t
  where t.name > coalesce(p_after, '')
    and not exists (select from notify.template n where n.name = t.name and n.version > t.version)
  order by t.name
  limit p_limit
$$;
comment on function notify.list_templates(text, bigint) is
  'The newest version of each template with the tags of its locales, by name, beyond the one given.';

create or replace function notify.delete_template(p_name text) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform set_config('synchronous_commit', 'on', true);
  perform notify.hold_template(p_name);
  delete from notify.template t where t.name = p_name;
  return found;
end
$$;
comment on function notify.delete_template(text) is
  'Deletes all versions of a template; batches keep what was rendered for them. Returns whether there was any.';
