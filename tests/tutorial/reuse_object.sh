#!/bin/sh
# A compiler launcher for a copy of the sources: an object of the original build serves where the source is the same.
# ORIGINAL, COPY: the two source trees; ORIGINAL_BUILD, COPY_BUILD: their builds. Runs in COPY_BUILD.
# The copy only gains declarations, so what an unchanged source includes means the same in both.
object= source= depfile= previous=
for argument in "$@"; do
  case $previous in
    -o) object=$argument ;;
    -c) source=$argument ;;
    -MF) depfile=$argument ;;
  esac
  previous=$argument
done
case $source in
  "$COPY_BUILD"/*) original=$ORIGINAL_BUILD/${source#"$COPY_BUILD"/} ;;
  "$COPY"/*) original=$ORIGINAL/${source#"$COPY"/} ;;
  *) original=$source ;;
esac
case $source in
  '' | *cmake_pch*) exec "$@" ;;
esac
built=$ORIGINAL_BUILD/$object
if [ "$built" -nt "$original" ] && cmp -s "$source" "$original"; then
  echo "$object: $source" >"${depfile:-/dev/null}"
  exec cp "$built" "$object"
fi
exec "$@"
