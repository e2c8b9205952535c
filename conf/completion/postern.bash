# SPDX-License-Identifier: ISC
# Completion of postern and posternd in bash.  What there is to complete, postern
# says itself: the tables that it reads its options by.
_postern() {
	local IFS=$'\n'
	COMPREPLY=($("$1" complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}

_posternd() {
	local IFS=$'\n'
	COMPREPLY=($(compgen -W "$("$1" --help | sed -n 's/^  \(-[a-zA-Z]\).*/\1/p')" \
		-- "${COMP_WORDS[COMP_CWORD]}"))
}

complete -o default -F _postern postern
complete -o default -F _posternd posternd
