"""Crops to views, on the device: paste, colours, blur."""
