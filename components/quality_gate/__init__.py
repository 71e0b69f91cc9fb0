"""The gate behind evaluation: is this model worth serving?"""
